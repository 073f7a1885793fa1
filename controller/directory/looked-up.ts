/**
 * What one stream's caller was told of addresses that its state does not name, and has to be told when that changes: the
 * address, to be forgotten. The caller remembers as many (lib/directory/looked-up.ts). When there is no room for another, the
 * oldest is given up and told, too: what is not followed must not be remembered. Pure.
 */
import { mostLookedUp } from "../../lib/directory/looked-up.ts";

export class LookedUp {
  /** Those that somebody holds, and those that nobody holds, each oldest first: neither drives out the other. */
  readonly #held = new Set<string>();
  readonly #unheld = new Set<string>();
  readonly #forget = new Set<string>();

  /** False: the caller does not read what it is told, so it can be told nothing more. */
  add(address: string, isHeld: boolean): boolean {
    if (this.#forget.size >= mostLookedUp) return false;
    this.#held.delete(address);
    this.#unheld.delete(address);
    const addresses = isHeld ? this.#held : this.#unheld;
    addresses.add(address);
    const [oldest] = addresses;
    if (addresses.size > mostLookedUp && oldest !== undefined) this.moved(oldest);
    return true;
  }

  moved(address: string): void {
    const wasHeld = this.#held.delete(address);
    if (this.#unheld.delete(address) || wasHeld) this.#forget.add(address);
  }

  get isDue(): boolean {
    return this.#forget.size > 0;
  }

  /** What is to be told now. */
  take(): string[] {
    const forget = [...this.#forget];
    this.#forget.clear();
    return forget;
  }
}
