/**
 * The one list of reason codes. A refusal, a failed dial and the end of a session each carry exactly one of these,
 * the same word in the log line, the metric label, the span attribute, the `tencrypt-reason` header and the docs.
 * `docs/errors.md` is compared with this table by a test, in both directions.
 *
 * Codes are stable: a code may be added, never renamed or given another meaning.
 */

/** Who caused it: `local` this program or its settings, `application` the application beside us, `peer` the far proxy or caller, `network` what lies between. */
export type Initiator = "local" | "application" | "peer" | "network";

type ReasonEntry = { readonly initiator: Initiator; readonly what: string; readonly hint: string };

export const reasons = {
  // --- outbound: the route
  no_directory: {
    initiator: "local",
    what: "no directory snapshot has been accepted yet, so nothing can be told apart",
    hint: "check that the controller (or the directory file) is reachable and names this pod's project and addresses",
  },
  original_destination_unknown: {
    initiator: "local",
    what: "the kernel knows no original destination for the connection",
    hint: "the connection did not come through the capture rules: dial the real destination instead of a proxy port",
  },
  proxy_port: {
    initiator: "application",
    what: "the destination is a port of a proxy; serving it would loop or open a relay",
    hint: "dial the application's own port",
  },
  destination_unknown: {
    initiator: "local",
    what: "the address lies inside the cluster's ranges and the directory names nobody there",
    hint: "the pod may be newer than the snapshot, or gone: check the directory's version in /status",
  },
  address_conflict: {
    initiator: "local",
    what: "two live pods claim the address",
    hint: "find the two pods in the directory and delete the stale one",
  },
  peer_not_enrolled: {
    initiator: "peer",
    what: "the peer is in the project but has no proxy",
    hint: "inject it, or set tencrypt.io/mode=permissive while rolling out",
  },
  unknown_service_port: {
    initiator: "application",
    what: "the Service has no such port",
    hint: "compare the port with the Service's spec",
  },
  no_ready_endpoint: {
    initiator: "peer",
    what: "the Service has no endpoint that is ready, nor one that still serves",
    hint: "check the readiness of the pods behind the Service",
  },
  egress_not_allowed: {
    initiator: "application",
    what: "mode strict lets nothing out in clear that tencrypt.io/allow-egress does not name",
    hint: "name the address and port in tencrypt.io/allow-egress, or speak TLS",
  },
  over_limit: {
    initiator: "local",
    what: "the proxy's limit of connections is reached",
    hint: "raise the limit or find what opens so many connections",
  },
  draining: {
    initiator: "local",
    what: "the proxy is shutting down and takes nothing new",
    hint: "none: the pod is being deleted or replaced",
  },
  // --- outbound: the dial
  peer_unreachable: {
    initiator: "network",
    what: "the TCP connection to the peer's proxy failed; there is no fall-back to clear",
    hint: "check that the peer's proxy runs and that no NetworkPolicy blocks its tunnel port (15008)",
  },
  peer_timeout: {
    initiator: "network",
    what: "the peer's proxy did not finish the handshake, or answer a request, in time",
    hint: "check the load and the network of the peer",
  },
  handshake_failed: {
    initiator: "peer",
    what: "the TLS handshake failed",
    hint: "read the TLS alert beside this code",
  },
  peer_refused: {
    initiator: "peer",
    what: "the peer's proxy refused our certificate",
    hint: "read the peer's own log: its code is in the field peerReason",
  },
  session_lost: {
    initiator: "peer",
    what: "the session ended before the peer accepted the connection, also on a second try",
    hint: "check whether the peer restarted",
  },
  application_refused: {
    initiator: "peer",
    what: "the application at the destination refuses connections on that port",
    hint: "check that it listens on the pod's address, not only on 127.0.0.1",
  },
  application_unreachable: {
    initiator: "peer",
    what: "the application at the destination could not be reached in time",
    hint: "check the application",
  },
  clear_dial_failed: {
    initiator: "network",
    what: "the connection in clear to the destination failed",
    hint: "check the destination",
  },
  // --- inbound
  plaintext_refused: {
    initiator: "peer",
    what: "clear text from a source that must encrypt, or that mode strict does not name",
    hint: "inject the source, or name it in tencrypt.io/allow-ingress if it is outside the project",
  },
  source_unknown: {
    initiator: "peer",
    what: "the source address lies inside the cluster's ranges and the directory names nobody there",
    hint: "the pod may be newer than the snapshot: it will be known after the next one",
  },
  node_source_refused: {
    initiator: "peer",
    what: "clear text from a node address, which cannot be attributed, and node sources are refused",
    hint: "set tencrypt.io/node-sources=accept, or name the source in tencrypt.io/allow-ingress",
  },
  not_my_address: {
    initiator: "peer",
    what: "the destination is no address of this pod",
    hint: "the directory of the caller may be stale",
  },
  bad_request: {
    initiator: "peer",
    what: "the CONNECT request is not of the form that the protocol demands",
    hint: "the caller is no Tencrypt or HBONE proxy",
  },
  caller_not_allowed: {
    initiator: "peer",
    what: "tencrypt.io/allow-from does not name the caller",
    hint: "add <project>/<service account>[:port] to tencrypt.io/allow-from",
  },
  caller_gone: {
    initiator: "peer",
    what: "the caller went away before the application had answered",
    hint: "nothing to do, unless there are many: then the application accepts slowly, or a caller resets on purpose",
  },
  no_alpn: {
    initiator: "peer",
    what: "the peer did not negotiate h2",
    hint: "the caller is no Tencrypt or HBONE proxy",
  },
  // --- the verifier
  no_certificate: {
    initiator: "peer",
    what: "the peer showed no certificate",
    hint: "the caller is no proxy of this mesh",
  },
  untrusted_chain: {
    initiator: "peer",
    what: "OpenSSL does not trust the chain",
    hint: "the certificate is self-signed or from another root",
  },
  chain_too_long: {
    initiator: "peer",
    what: "the chain is not leaf and project CA (the root tolerated as last)",
    hint: "the certificate was not issued by Tencrypt's CA",
  },
  chain_too_large: {
    initiator: "peer",
    what: "the chain is larger than 16 KiB",
    hint: "the certificate was not issued by Tencrypt's CA",
  },
  malformed_certificate: {
    initiator: "peer",
    what: "a certificate of the chain is not strict DER of the expected form",
    hint: "the certificate was not issued by Tencrypt's CA",
  },
  bad_version: {
    initiator: "peer",
    what: "a certificate is not X.509 v3",
    hint: "the certificate was not issued by Tencrypt's CA",
  },
  bad_serial: {
    initiator: "peer",
    what: "a serial number is not positive or longer than 20 octets",
    hint: "the certificate was not issued by Tencrypt's CA",
  },
  bad_algorithm: {
    initiator: "peer",
    what: "a signature algorithm is not allowed, or differs inside and outside of the signed part",
    hint: "only ECDSA P-256 or Ed25519 with SHA-256 or better",
  },
  bad_key: {
    initiator: "peer",
    what: "a public key is not an allowed one",
    hint: "only P-256 (named, uncompressed) or Ed25519",
  },
  bad_signature: {
    initiator: "peer",
    what: "the leaf's signature is not the project CA's",
    hint: "the certificate was altered or forged",
  },
  bad_subject_alternative_name: {
    initiator: "peer",
    what: "the leaf does not carry exactly one subject alternative name that is a SPIFFE ID of the mesh's form",
    hint: "the certificate was not issued by Tencrypt's CA",
  },
  bad_basic_constraints: {
    initiator: "peer",
    what: "BasicConstraints are missing or not what they must be",
    hint: "the certificate was not issued by Tencrypt's CA",
  },
  bad_key_usage: {
    initiator: "peer",
    what: "KeyUsage is not exactly what it must be",
    hint: "the certificate was not issued by Tencrypt's CA",
  },
  bad_extended_key_usage: {
    initiator: "peer",
    what: "ExtendedKeyUsage is not exactly clientAuth and serverAuth",
    hint: "the certificate was not issued by Tencrypt's CA",
  },
  bad_name_constraints: {
    initiator: "peer",
    what: "a project CA's name constraints do not exclude every DNS name and address",
    hint: "the CA certificate was not made by Tencrypt's CA",
  },
  unknown_critical_extension: {
    initiator: "peer",
    what: "a critical extension is unknown",
    hint: "the certificate was not issued by Tencrypt's CA",
  },
  lifetime_too_long: {
    initiator: "peer",
    what: "the leaf lives longer than TENCRYPT_MAX_LEAF_LIFETIME",
    hint: "compare the CA's TENCRYPT_LEAF_TTL with the proxy's TENCRYPT_MAX_LEAF_LIFETIME",
  },
  not_yet_valid: {
    initiator: "peer",
    what: "a certificate of the chain is not valid yet",
    hint: "compare the clocks of both nodes and the CA's",
  },
  expired: {
    initiator: "peer",
    what: "a certificate of the chain has ended",
    hint: "the peer could not renew: look at its log for certificate_renewal_failed",
  },
  identity_mismatch: {
    initiator: "peer",
    what: "the peer's SPIFFE ID is not one that is expected here",
    hint: "another project's certificate, or a stale directory",
  },
  wrong_issuer: {
    initiator: "peer",
    what: "the issuing CA is not the one that the trust bundle lists for the named project",
    hint: "a certificate forged with another project's CA, or a project CA that has been replaced",
  },
  no_pod_identity: {
    initiator: "peer",
    what: "the leaf names no pod",
    hint: "the certificate was not issued by Tencrypt's CA",
  },
  wrong_namespace_uid: {
    initiator: "peer",
    what: "the leaf is of an earlier namespace of the same name",
    hint: "the namespace was deleted and made again: restart the pod",
  },
  wrong_pod: {
    initiator: "peer",
    what: "the leaf belongs to another pod than the one at that address",
    hint: "the address was re-used, or a certificate was stolen",
  },
  pod_denied: { initiator: "peer", what: "the pod was revoked", hint: "docs/operations.md, Revoke" },
  bad_reauthentication: {
    initiator: "peer",
    what: "a request to re-authenticate a session, or its answer, proves nothing",
    hint: "a peer that is broken or hostile: its connections end with the certificates that it showed before",
  },
  // --- the end of a session or of an open connection
  certificate_ended: {
    initiator: "local",
    what: "a certificate of the session reached its notAfter",
    hint: "one side could not renew, or is no proxy of ours: look at its log for certificate_renewal_failed",
  },
  issuer_removed: {
    initiator: "local",
    what: "the peer's CA or pod left the trust bundle",
    hint: "see the CA's audit log",
  },
  policy_changed: {
    initiator: "local",
    what: "the rules that hold now would refuse the connection, which was open already",
    hint: "the log's detail begins with the code of that refusal: see there",
  },
  peer_silent: {
    initiator: "network",
    what: "the peer did not answer a PING in time",
    hint: "check the network and the node of the peer",
  },
  // --- the directory document
  directory_unreadable: {
    initiator: "local",
    what: "the directory document could not be read",
    hint: "check the path and its permissions",
  },
  directory_malformed: {
    initiator: "local",
    what: "the directory document has missing or wrong fields",
    hint: "the log names the path of each",
  },
  directory_too_large: {
    initiator: "local",
    what: "the directory document is larger than 64 MiB",
    hint: "split the cluster's snapshot by project",
  },
  directory_not_newer: {
    initiator: "local",
    what: "the document's version is not higher than that of the snapshot in use",
    hint: "versions only go up: check who writes the document",
  },
  directory_lacks_own_project: {
    initiator: "local",
    what: "the document does not hold this pod's own project",
    hint: "it is another cluster's or project's document",
  },
  directory_lacks_own_address: {
    initiator: "local",
    what: "the document does not name this pod at all of its own addresses",
    hint: "the snapshot is older than the pod, or another pod's",
  },
  directory_requires_unknown_feature: {
    initiator: "local",
    what: "the document requires a feature that this proxy does not know",
    hint: "upgrade the proxy",
  },
  // --- the ca
  rate_limited: {
    initiator: "peer",
    what: "the caller asks for certificates or bundles more often than the ca's limit allows",
    hint: "find what restarts in a loop, or raise TENCRYPT_CA_RATE_LIMIT and TENCRYPT_CA_RATE_BURST",
  },
  ca_busy: {
    initiator: "local",
    what: "as many calls as the ca takes at once are under way",
    hint: "the caller tries again by itself; add a replica if this lasts",
  },
  request_incomplete: {
    initiator: "peer",
    what: "a request to the ca has more than 20 KiB of headers, or was not complete after 5 s, or too many at once were not",
    hint: "look at what runs at the source address; the ca gives up such requests, whoever sends them",
  },
  request_malformed: {
    initiator: "peer",
    what: "the request is not of the form that the API demands",
    hint: "the caller is no Tencrypt proxy and no agent that speaks Istio's CreateCertificate",
  },
  metadata_refused: {
    initiator: "peer",
    what: "the request carries metadata, with which an identity other than the caller's own could be asked for",
    hint: "switch impersonation off in the caller",
  },
  bad_validity: {
    initiator: "peer",
    what: "the asked validity is negative or shorter than 10 seconds",
    hint: "ask for 0 (the default) or for 10 seconds and more",
  },
  token_missing: {
    initiator: "peer",
    what: "the call carries no bearer token, or more than one",
    hint: "check TENCRYPT_TOKEN_FILE of the caller",
  },
  token_malformed: {
    initiator: "peer",
    what: "the token is not a signed token of the form of Kubernetes, or says a thing twice",
    hint: "check that the caller uses a projected service account token",
  },
  token_bad_algorithm: {
    initiator: "peer",
    what: "the token names another algorithm than its key's",
    hint: "only RS256, ES256 and ES384, each with its own kind of key",
  },
  token_unknown_key: {
    initiator: "peer",
    what: "no key of the key set is the one that the token names",
    hint: "compare TENCRYPT_JWKS_FILE with the issuer's keys",
  },
  token_bad_signature: {
    initiator: "peer",
    what: "the token's signature does not verify",
    hint: "the token was altered or forged",
  },
  token_wrong_issuer: {
    initiator: "peer",
    what: "the token is of another issuer",
    hint: "compare the token's iss with TENCRYPT_TOKEN_ISSUER",
  },
  token_wrong_audience: {
    initiator: "peer",
    what: "the token's audience is not exactly the ca's",
    hint: "project a token whose only audience is TENCRYPT_TOKEN_AUDIENCE",
  },
  token_expired: {
    initiator: "peer",
    what: "the token has expired",
    hint: "the caller re-reads its token at every use: check that the kubelet renews it, and both clocks",
  },
  token_not_yet_valid: {
    initiator: "peer",
    what: "the token is not valid yet",
    hint: "compare the clocks of the issuer and of the ca",
  },
  token_not_of_a_pod: {
    initiator: "peer",
    what: "the token does not name one pod and one service account of one namespace",
    hint: "only a token that is bound to a pod is accepted",
  },
  token_keys_unavailable: {
    initiator: "local",
    what: "the key set that tokens are checked with cannot be read",
    hint: "restore TENCRYPT_JWKS_FILE",
  },
  token_review_unavailable: {
    initiator: "local",
    what: "the API server could not be asked who the token's owner is",
    hint: "check that the API server answers and that the ca may create TokenReviews and read pods and namespaces",
  },
  token_refused: {
    initiator: "peer",
    what: "the API server does not confirm the token for the ca's audience",
    hint: "the token is of another cluster or audience, or its pod or account is gone: the audit line has its answer",
  },
  project_not_enabled: {
    initiator: "peer",
    what: "the caller's namespace is no project",
    hint: "set the label tencrypt.io/project=enabled on the namespace, and restart its pods",
  },
  pod_gone: {
    initiator: "peer",
    what: "the pod that the token is bound to does not exist any more, or is another one of the same name",
    hint: "nothing to do if the pod was deleted; a token that goes on being used was stolen",
  },
  pod_not_protected: {
    initiator: "peer",
    what: "the caller's pod does not have the proxy that the webhook injects, or is on the host's network, or has ended",
    hint: "restart the pod in an enabled namespace so that the webhook injects it; the audit line says what is missing",
  },
  pod_address_pending: {
    initiator: "local",
    what: "the API does not show the pod's address yet",
    hint: "nothing: the proxy asks again within 200 ms",
  },
  source_mismatch: {
    initiator: "peer",
    what: "the connection does not come from the pod that the token belongs to",
    hint: "a stolen token, or addresses are translated on the way to the ca: then set ca.sourceCheck to warn",
  },
  csr_malformed: {
    initiator: "peer",
    what: "the certificate request is not one PKCS#10 of at most 4 KiB in PEM and strict DER",
    hint: "the caller is no Tencrypt proxy and no agent that speaks Istio's CreateCertificate",
  },
  csr_bad_key: {
    initiator: "peer",
    what: "the request is for a key other than P-256",
    hint: "set the caller's key to ECDSA P-256",
  },
  csr_bad_signature: {
    initiator: "peer",
    what: "the request does not prove that the caller holds the private key",
    hint: "the request was altered",
  },
  csr_other_identity: {
    initiator: "peer",
    what: "the request names an identity other than the caller's own",
    hint: "the token decides who the caller is: compare both",
  },
  csr_asks_too_much: {
    initiator: "peer",
    what: "the request asks for more than a certificate for its key",
    hint: "ask for nothing, or for exactly the own SPIFFE ID",
  },
  issuer_unusable: {
    initiator: "local",
    what: "the project's CA is damaged, has ended, or was not issued by the root",
    hint: "repair or remove its folder or Secret in the store",
  },
  store_unavailable: {
    initiator: "local",
    what: "the store of the ca could not be read or written",
    hint: "check the folder TENCRYPT_CA_STORE and its permissions, or that the API server answers",
  },
  certificate_unfit: {
    initiator: "local",
    what: "the finished certificate did not pass the verifier and was thrown away",
    hint: "a defect of the ca: read the detail",
  },
} as const satisfies Record<string, ReasonEntry>;

export type Reason = keyof typeof reasons;
