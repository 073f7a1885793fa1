/** `/metrics`, in the format that whoever asks prefers. */
import type { Page } from "./page-server.ts";
import { formats, negotiate } from "../metrics/exposition.ts";
import type { Registry } from "../metrics/registry.ts";

export function metricsPage(registry: Registry, accept: string | undefined): Page {
  const format = negotiate(accept);
  return { status: 200, type: formats[format].contentType, text: registry.render(format) };
}
