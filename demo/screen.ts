/**
 * What a person sees: lines that fit the terminal, colour only where it is one and NO_COLOR is unset, and one line of
 * progress that is gone when the work is done. Colour never says anything that the text does not. Results go to stdout,
 * progress to stderr.
 */
export type ScreenOptions = {
  readonly colour: boolean;
  readonly live: boolean;
  readonly width: number;
  readonly write: (text: string) => void;
  readonly writeProgress: (text: string) => void;
};

type Paint = "bold" | "dim" | "green" | "red" | "cyan";
const codes: Readonly<Record<Paint, number>> = { bold: 1, dim: 2, green: 32, red: 31, cyan: 36 };
const eraseLine = "\r\u001B[2K";

const narrowest = 60;
const widest = 132;
/** Where the second column starts, if the terminal is wide enough. */
const leftWidth = 72;
const widthOfTwoColumns = 100;

export function terminalOptions(flags: { readonly noColour: boolean }): ScreenOptions {
  const { stdout, stderr, env } = process;
  const colour = stdout.isTTY && !flags.noColour && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
  const width = Math.min(widest, Math.max(narrowest, stdout.columns ?? 120));
  return {
    colour,
    live: stderr.isTTY && env["TERM"] !== "dumb",
    width,
    write: (text) => void stdout.write(text),
    writeProgress: (text) => void stderr.write(text),
  };
}

/** Breaks at spaces; a word that is longer than a line stays whole, so that it can be copied. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

export class Screen {
  readonly #options: ScreenOptions;
  #progress = false;

  constructor(options: ScreenOptions) {
    this.#options = options;
  }

  paint(paint: Paint, text: string): string {
    return this.#options.colour ? `\u001B[${codes[paint]}m${text}\u001B[0m` : text;
  }

  line(text = ""): void {
    this.progress(null);
    this.#options.write(`${text}\n`);
  }

  heading(text: string): void {
    this.line();
    this.line(`  ${this.paint("bold", text)}`);
  }

  /** Text that may take several lines, each indented like the first. */
  text(indent: number, text: string, paint?: Paint): void {
    const margin = " ".repeat(indent);
    for (const line of wrap(text, this.#options.width - indent)) {
      this.line(`${margin}${paint === undefined ? line : this.paint(paint, line)}`);
    }
  }

  /** Text beside text: in a second column, else at the end of the line, else below. `mark` has one column. */
  row(mark: string, left: string, right: string): void {
    const { width } = this.#options;
    const lead = `  ${mark} `;
    const room = width - leftWidth - 4;
    if (width >= widthOfTwoColumns && left.length < leftWidth - 4) {
      const [first = "", ...more] = wrap(right, room);
      this.line(`${lead}${left.padEnd(leftWidth - 4)}  ${this.paint("dim", first)}`.trimEnd());
      for (const rest of more) this.line(`${" ".repeat(leftWidth + 2)}${this.paint("dim", rest)}`);
      return;
    }
    const gap = width - 4 - left.length - right.length;
    if (gap >= 2) return this.line(`${lead}${left}${" ".repeat(gap)}${this.paint("dim", right)}`);
    for (const [index, line] of wrap(left, width - 6).entries()) this.line(`${index === 0 ? lead : "      "}${line}`);
    if (right !== "") this.text(6, right, "dim");
  }

  /** What is being waited for; null takes it away. */
  progress(text: string | null): void {
    if (!this.#options.live || (text === null && !this.#progress)) return;
    this.#options.writeProgress(
      text === null ? eraseLine : `${eraseLine}  ${this.paint("dim", `· ${text}`.slice(0, this.#options.width - 4))}`,
    );
    this.#progress = text !== null;
  }
}

export function duration(milliseconds: number): string {
  if (milliseconds < 10) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 1_000) return `${Math.round(milliseconds)} ms`;
  return milliseconds < 10_000 ? `${(milliseconds / 1000).toFixed(1)} s` : `${Math.round(milliseconds / 1000)} s`;
}

/** 184312 -> `184 312`. */
export const grouped = (value: number): string => String(value).replace(/\B(?=(?:\d{3})+$)/g, " ");
