/** A terminal that keeps what a command writes. */
import type { Terminal } from "../../../cli/terminal.ts";

export type Recording = { readonly screen: Terminal; readonly written: { data: string; notes: string } };

export function recordScreen(width: number): Recording {
  const written = { data: "", notes: "" };
  const screen = {
    data: (text: string) => void (written.data += text),
    note: (text: string) => void (written.notes += text),
    width,
    color: false,
  };
  return { screen, written };
}
