/**
 * The most that a reader of the directory document takes. One entry too many refuses the whole document, so whoever makes it
 * of what others wrote has to cut that before. The reader bounds the size of the whole; these bound lists that are searched
 * entry by entry, and `text` the characters of what is only passed on. Pure.
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
