/** Counts: every check passes or fails, and says what it measured. Nothing is shown that no check has measured. */
import type { Screen } from "./screen.ts";
import { duration } from "./screen.ts";

/** What a check measured: `left` in place of its name, `right` as the evidence. */
export type Evidence = { readonly left?: string; readonly right?: string; readonly hideTime?: boolean };

/** Says what was expected and what was found instead. */
export class Unexpected extends Error {}

export function expect(holds: boolean, expected: string, found: unknown): void {
  if (!holds)
    throw new Unexpected(`expected ${expected}, found ${typeof found === "string" ? found : JSON.stringify(found)}`);
}

const longestLine = 400;

export class Report {
  readonly screen: Screen;
  passed = 0;
  failed = 0;
  readonly #started = performance.now();

  constructor(screen: Screen) {
    this.screen = screen;
  }

  /** True if the check passed; a failure is shown and counted, and the demo goes on. */
  async check(name: string, measure: () => Promise<Evidence> | Evidence): Promise<boolean> {
    const { screen } = this;
    screen.progress(name);
    const started = performance.now();
    try {
      const { left = name, right = "", hideTime = false } = await measure();
      const took = hideTime ? "" : duration(performance.now() - started);
      this.passed++;
      screen.row(screen.paint("green", "✓"), left, [took, right].filter((text) => text !== "").join("   "));
      return true;
    } catch (error) {
      this.failed++;
      screen.row(screen.paint("red", "✗"), name, "");
      // A defect shows its stack; what was only found to be otherwise needs none.
      const defect = error instanceof TypeError || error instanceof ReferenceError;
      const text = error instanceof Error ? (defect ? error.stack : error.message) : String(error);
      for (const line of (text ?? "").split("\n")) screen.line(`      ${line.slice(0, longestLine)}`);
      return false;
    }
  }

  /** The last lines: time and hint, and the numbers alone at the very end. */
  finish(hint: string): void {
    const { screen } = this;
    screen.line();
    screen.text(2, `${duration(performance.now() - this.#started)}   ${hint}`, "dim");
    screen.line(screen.paint(this.failed === 0 ? "green" : "red", `${this.passed} passed, ${this.failed} failed`));
  }
}
