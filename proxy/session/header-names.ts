/** Headers of the CONNECT request and of its answer that are ours; others skip them. */
export const headerNames = {
  reason: "tencrypt-reason",
  group: "tencrypt-group",
  pod: "tencrypt-pod",
  trace: "traceparent",
} as const;
