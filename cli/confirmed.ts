/** Asks a person before something is changed or ends. What is no yes is a no: a terminal that goes away, Ctrl-C and Ctrl-D too. */
import { once } from "node:events";
import { createInterface } from "node:readline/promises";

export async function confirmed(
  input: NodeJS.ReadableStream & { readonly isTTY?: boolean },
  output: NodeJS.WritableStream,
  question: string,
): Promise<boolean> {
  if (input.isTTY !== true) return false;
  const prompt = createInterface({ input, output });
  const gone = once(prompt, "close").then(() => "");
  const answer = await Promise.race([prompt.question(`${question} Type yes: `), gone]).catch(() => "");
  prompt.close();
  return answer.trim() === "yes";
}
