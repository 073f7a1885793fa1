/**
 * Gets a certificate as a proxy would, and gives key and chain away: what somebody has who kept a pod's certificate. Run in
 * the pod's network namespace. Environment: CA (host:port), TOKEN, ROOT (PEM). One line of JSON: `{key, chain}`.
 */
import { generateKeyPairSync } from "node:crypto";
import { createSecureContext } from "node:tls";
import { credentials, Metadata } from "@grpc/grpc-js";
import { IstioCertificateServiceClient } from "../../lib/proto/gen/istio/v1/auth/ca.ts";
import { createCsr } from "../../lib/x509/csr.ts";

const { CA = "", TOKEN = "", ROOT = "" } = process.env;
const channel = credentials.createFromSecureContext(createSecureContext({ ca: ROOT, minVersion: "TLSv1.3" }), {
  checkServerIdentity: () => undefined,
});
const client = new IstioCertificateServiceClient(CA, channel, { "grpc.ssl_target_name_override": "tencrypt-ca" });
const metadata = new Metadata();
metadata.set("authorization", `Bearer ${TOKEN}`);
const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
const request = { csr: createCsr(privateKey), validityDuration: 0n, metadata: [] };
client.createCertificate(request, metadata, { deadline: Date.now() + 15_000 }, (error, response) => {
  if (error !== null) throw error;
  const key = privateKey.export({ type: "pkcs8", format: "pem" });
  console.log(JSON.stringify({ key, chain: response.certChain.slice(0, 2).join("") }));
  client.close();
});
