// The two modules of node-forge that the ca uses, and of them only what it uses. Its keys, signatures and certificate
// code are never loaded: see docs/adr/0003-node-forge-for-asn1-only.md.

declare module "node-forge/lib/asn1.js" {
  /** One element. `value` holds the children, or the content octets as a binary (latin1) string. */
  export type Asn1 = {
    readonly tagClass: number;
    readonly type: number;
    readonly constructed: boolean;
    readonly value: string | Asn1[];
  };
  type Bytes = { getBytes(): string };
  type ReadOptions = { strict: boolean; parseAllBytes: boolean; decodeBitStrings: boolean; maxDepth: number };
  const asn1: {
    create(tagClass: number, type: number, constructed: boolean, value: string | Asn1[]): Asn1;
    fromDer(bytes: string, options: ReadOptions): Asn1;
    toDer(element: Asn1): Bytes;
    oidToDer(oid: string): Bytes;
  };
  export default asn1;
}
