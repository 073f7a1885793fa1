/**
 * What a reader of the directory document takes at most; more of it refuses the whole document, and so the news of everybody
 * whom it is for. Who makes one of what others wrote has to cut it before. The size of the whole is bounded by the reader;
 * these bound what is searched one by one, and `text` the characters of what is only passed on. Pure.
 */
export const most = {
  items: 1_000_000,
  /** Of a list that users write into an annotation. */
  entries: 1024,
  ips: 64,
  ports: 1024,
  ranges: 1024,
  features: 64,
  text: 253,
} as const;
