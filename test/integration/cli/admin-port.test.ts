/** A port-forward through an API server whose kubelets are away: it accepts, and nothing comes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import { askStatus, forwarder } from "../../../cli/admin-port.ts";
import { startFakeApi } from "./fake-api.ts";

test("a pod whose node does not answer is given up, and its connection closed", { timeout: 20_000 }, async (t) => {
  const { kubeconfig, server } = await startFakeApi(t);
  const upgraded: Promise<unknown[]> = once(server, "upgrade");
  const answer = await askStatus(forwarder({ kubeconfig }, 200), "shop", "cart-1");
  assert.deepEqual(answer, { kind: "no-answer", why: "the port-forward was not opened in time" });
  const [, socket] = (await upgraded) as [unknown, Socket];
  if (!socket.destroyed) await once(socket, "close");
});
