/**
 * Asks the ca for a certificate with whatever it was given, from wherever it runs: run in a pod's network namespace it
 * comes from the pod's address. Environment: CA (host:port), TOKEN, ROOT (PEM), and NAME, a SPIFFE ID to ask for. One line
 * of JSON says what came of it.
 */
import { createSecureContext } from "node:tls";
import { credentials, Metadata } from "@grpc/grpc-js";
import { IstioCertificateServiceClient } from "../../lib/proto/gen/istio/v1/auth/ca.ts";
import { askingForUri, requestPem } from "../pki/request.ts";

const { CA = "", TOKEN = "", ROOT = "", NAME = "" } = process.env;
const channel = credentials.createFromSecureContext(createSecureContext({ ca: ROOT, minVersion: "TLSv1.3" }), {
  checkServerIdentity: () => undefined,
});
const client = new IstioCertificateServiceClient(CA, channel, { "grpc.ssl_target_name_override": "tencrypt-ca" });
const metadata = new Metadata();
metadata.set("authorization", `Bearer ${TOKEN}`);
const csr = requestPem(NAME === "" ? {} : { attributes: askingForUri(NAME) });
const request = { csr, validityDuration: 0n, metadata: [] };
client.createCertificate(request, metadata, { deadline: Date.now() + 15_000 }, (error, response) => {
  console.log(
    JSON.stringify(
      error === null ? { code: 0, chain: response.certChain } : { code: error.code, details: error.details },
    ),
  );
  client.close();
});
