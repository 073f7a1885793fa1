/**
 * What listens where a ca should, with a serving certificate and answers of the test's choice: every request for a
 * certificate is answered with a chain, whoever asks, and the true bundle of a test PKI is streamed.
 */
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Metadata } from "@grpc/grpc-js";
import { readCsr } from "../../ca/issue/csr.ts";
import { IstioCertificateServiceService } from "../../lib/proto/gen/istio/v1/auth/ca.ts";
import type { IstioCertificateServiceServer } from "../../lib/proto/gen/istio/v1/auth/ca.ts";
import { TrustBundleService } from "../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import type { TrustBundleServer } from "../../lib/proto/gen/tencrypt/ca/v1/trust_bundle.ts";
import { importKey } from "../../lib/x509/algorithms.ts";
import { generateKey } from "./pki.ts";
import type { KeyPair, Leaf, Pki } from "./pki.ts";

/** Of the key that a certificate is asked for, whose private half is not known here and not used. */
export type Answer = (key: KeyPair) => readonly string[];

export type AnsweringOptions = {
  readonly pki: Pki;
  /** `127.0.0.1:0` */
  readonly address: string;
  /** The name of who asks. */
  readonly uri: string;
  readonly answer: Answer;
  readonly serving: Pick<Leaf, "chainPem" | "keyPem">;
  /** A request was heard: its caller believed the serving certificate. */
  readonly heard?: (request: Heard) => void;
};

export type Heard = { readonly asks: "certificate" | "bundle"; readonly withToken: boolean };

export type AnsweringCa = { readonly port: number; readonly stop: () => void };

const hasToken = (metadata: Metadata): boolean => metadata.get("authorization").length > 0;

function streamed({ pki, heard }: AnsweringOptions): TrustBundleServer["watch"] {
  const { roots, projects } = pki.rawBundle();
  return (call) => {
    heard?.({ asks: "bundle", withToken: hasToken(call.metadata) });
    call.write({
      version: 1n,
      roots: roots.map((der) => Buffer.from(der)),
      projects: projects.map(({ name, uid, authorities }) => ({
        name,
        namespaceUid: uid,
        authorities: authorities.map((der) => Buffer.from(der)),
      })),
      denied: [],
    });
  };
}

export async function startAnsweringCa(options: AnsweringOptions): Promise<AnsweringCa> {
  const { address, uri, answer, serving } = options;
  const createCertificate: IstioCertificateServiceServer["createCertificate"] = ({ request, metadata }, callback) => {
    options.heard?.({ asks: "certificate", withToken: hasToken(metadata) });
    const read = readCsr(request.csr, uri);
    if (read.kind !== "csr") return callback(new Error(read.kind));
    const key: KeyPair = { ...generateKey("p256"), publicKey: importKey({ der: read.publicKey })! };
    callback(null, { certChain: [...answer(key)], bundleVersion: 1n });
  };
  const server = new Server();
  server.addService(IstioCertificateServiceService, { createCertificate });
  server.addService(TrustBundleService, { watch: streamed(options) });
  const pair = { cert_chain: Buffer.from(serving.chainPem), private_key: Buffer.from(serving.keyPem) };
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createSsl(null, [pair]), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, stop: () => server.forceShutdown() };
}
