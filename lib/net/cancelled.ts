/**
 * The error to destroy an HTTP/2 stream with, so that RST_STREAM CANCEL is all that is sent: no END_STREAM before it, which
 * the far end would read as a clean end (`stream.close(code)` does that), and no NO_ERROR (no error at all), which reads as done.
 * Node looks for its own class of AbortError, which a DOMException of that name is not: it would be INTERNAL_ERROR.
 */
import { addAbortSignal, Readable } from "node:stream";

const stream = new Readable({ read: () => {} });
stream.on("error", () => {});
addAbortSignal(AbortSignal.abort("connection reset"), stream);

export const cancelled: Error = stream.errored ?? new Error("connection reset");
