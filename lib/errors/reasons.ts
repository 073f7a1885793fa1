/**
 * The one list of reason codes. A refusal, a failed dial and the end of a session each carry exactly one of these,
 * the same word in the log line, the metric label, the span attribute, the `tencrypt-reason` header and the docs.
 * `docs/errors.md` is compared with this table by a test, in both directions.
 *
 * Codes are stable: a code may be added, never renamed or given another meaning.
 */

/**
 * Who caused it: `local` this program or its settings, `application` the application beside us, `peer` the far proxy or
 * caller, `network` what lies between.
 */
export type Initiator = "local" | "application" | "peer" | "network";

type ReasonEntry = { readonly initiator: Initiator; readonly what: string; readonly hint: string };

const by =
  (initiator: Initiator) =>
  (what: string, hint: string): ReasonEntry => ({ initiator, what, hint });
const [local, application, peer, network] = [by("local"), by("application"), by("peer"), by("network")];

const noProxy = "the caller is no Tencrypt or HBONE proxy: find what runs at the source address";
const notOurs = "the certificate was not issued by Tencrypt's ca: find what runs at the address";
const noAgent =
  "the caller is no Tencrypt proxy and no agent that speaks Istio's CreateCertificate: find what runs at the source address";

/** Each: what has happened, and what to do. */
export const reasons = {
  // --- outbound: the route
  no_directory: local(
    "no directory snapshot has been accepted yet, so nothing can be told apart",
    "check that the controller answers (tencrypt check), or that the directory file names this pod's project and addresses",
  ),
  original_destination_unknown: local(
    "the kernel knows no original destination for the connection",
    "the connection did not come through the capture rules: dial the real destination instead of a proxy port",
  ),
  proxy_port: application(
    "the destination is a port of a proxy; serving it would loop or open a relay",
    "dial the application's own port",
  ),
  destination_unknown: local(
    "the address lies inside the cluster's ranges and the directory names nobody there",
    "the pod may be newer than the snapshot, or gone: look who has the address (kubectl get pods -A -o wide), and whether the controllers answer (tencrypt check)",
  ),
  address_conflict: local("two live pods claim the address", "the field detail names the pods: delete the stale one"),
  peer_not_enrolled: peer(
    "the peer is in the project but has no proxy",
    "inject it; while rolling out, set tencrypt.io/mode=permissive and restart the pods that refuse: the mode at its start is a pod's floor",
  ),
  unknown_service_port: application("the Service has no such port", "compare the port with the Service's spec"),
  no_ready_endpoint: peer(
    "the Service has no endpoint that is ready, nor one that still serves",
    "check the readiness of the pods behind the Service",
  ),
  egress_not_allowed: application(
    "mode strict lets nothing out in clear that tencrypt.io/allow-egress does not name",
    "name the address and port in tencrypt.io/allow-egress, or speak TLS",
  ),
  over_limit: local(
    "the proxy's limit of connections is reached",
    "find what opens so many connections, or spread the load over more pods; where the proxy runs without injection, raise TENCRYPT_MAX_CONNECTIONS",
  ),
  backlog_full: local(
    "more waits in the proxy for ends that do not take it than may, and in this connection much of it",
    "find what does not read what it is sent, the field detail says how much waited; or raise the memory limit of tencrypt-proxy (proxy.resources), of which a part may wait",
  ),
  // --- outbound: the dial
  peer_unreachable: network(
    "the TCP connection to the peer's proxy failed; there is no fall-back to clear",
    "check that the peer's proxy runs and that no NetworkPolicy blocks its tunnel port (15008)",
  ),
  peer_timeout: network(
    "the peer's proxy did not finish the handshake, or answer a request, in time",
    "check the load and the network of the peer",
  ),
  handshake_failed: peer(
    "the TLS handshake failed",
    "the field detail has the TLS alert or what else failed; look at the peer's log at that time",
  ),
  peer_refused: peer(
    "the peer's proxy refused our certificate",
    "read the peer's own log; the code that it told is in the field detail",
  ),
  session_lost: peer(
    "the session ended before the peer accepted the connection, also on a second try",
    "check whether the peer restarted",
  ),
  application_refused: peer(
    "the application at the destination refuses connections on that port",
    "check that it listens on the pod's address, not only on 127.0.0.1",
  ),
  application_unreachable: peer(
    "the application at the destination could not be reached in time",
    "look at the log and the load of the application in the pod that was dialled: it did not accept the connection",
  ),
  clear_dial_failed: network(
    "the connection in clear to the destination failed",
    "the field detail says what failed: check that something listens at the destination, and that routes and NetworkPolicies let this pod reach it",
  ),
  // --- inbound
  plaintext_refused: peer(
    "clear text from a source that must encrypt, or that mode strict does not name",
    "inject the source, or name it in tencrypt.io/allow-ingress if it is outside the project",
  ),
  source_unknown: peer(
    "the source address lies inside the cluster's ranges and the directory names nobody there",
    "the pod may be newer than the snapshot: if it goes on, look who has the address (kubectl get pods -A -o wide), and whether the controllers answer (tencrypt check)",
  ),
  node_source_refused: peer(
    "clear text from a node address, which cannot be attributed, and node sources are refused",
    "set tencrypt.io/node-sources=accept, or name the source in tencrypt.io/allow-ingress",
  ),
  not_my_address: peer(
    "the destination is no address of this pod",
    "the caller's directory may be stale: if it goes on, look at the caller's log and whether the controllers answer (tencrypt check)",
  ),
  bad_request: peer("the CONNECT request is not of the form that the protocol demands", noProxy),
  caller_not_allowed: peer(
    "the caller is not named in tencrypt.io/allow-from",
    "add <project>/<service account>[:port] to tencrypt.io/allow-from, of the namespace and of the pod where both have one",
  ),
  caller_gone: peer(
    "the caller went away before the application had answered",
    "nothing to do, unless there are many: then the application accepts slowly, or a caller resets on purpose",
  ),
  no_alpn: peer("the peer did not negotiate h2", noProxy),
  // --- the verifier
  no_certificate: peer("the peer showed no certificate", noProxy),
  untrusted_chain: peer(
    "OpenSSL does not trust the chain",
    "the certificate is self-signed or from another root: tencrypt check names pods that believe another root (TC-PRJ-04); if it is none of these, find what runs at the address",
  ),
  chain_too_long: peer("the chain is not leaf and project CA (the root tolerated as last)", notOurs),
  chain_too_large: peer("the chain is larger than 16 KiB", notOurs),
  malformed_certificate: peer("a certificate of the chain is not strict DER of the expected form", notOurs),
  bad_version: peer("a certificate is not X.509 v3", notOurs),
  bad_serial: peer("a serial number is not positive or longer than 20 octets", notOurs),
  bad_algorithm: peer(
    "a signature algorithm is not allowed, or differs inside and outside of the signed part",
    `only ECDSA P-256 or Ed25519 with SHA-256 or better is taken: ${notOurs}`,
  ),
  bad_key: peer(
    "a public key is not an allowed one",
    `only P-256 (named, uncompressed) or Ed25519 is taken: ${notOurs}`,
  ),
  bad_signature: peer("the leaf's signature is not the project CA's", `it was altered or forged: ${notOurs}`),
  bad_subject_alternative_name: peer(
    "the leaf does not carry exactly one subject alternative name that is a SPIFFE ID of the mesh's form",
    notOurs,
  ),
  bad_basic_constraints: peer("BasicConstraints are missing or not what they must be", notOurs),
  bad_key_usage: peer("KeyUsage is not exactly what it must be", notOurs),
  bad_extended_key_usage: peer("ExtendedKeyUsage is not exactly clientAuth and serverAuth", notOurs),
  bad_name_constraints: peer("a project CA's name constraints do not exclude every DNS name and address", notOurs),
  unknown_critical_extension: peer("a critical extension is unknown", notOurs),
  lifetime_too_long: peer(
    "the leaf lives longer than TENCRYPT_MAX_LEAF_LIFETIME",
    "restart the pods that were made before ca.leafTtl was raised: what a proxy accepts (TENCRYPT_MAX_LEAF_LIFETIME) is fixed when its pod is made",
  ),
  not_yet_valid: peer("a certificate of the chain is not valid yet", "compare the clocks of both nodes and the CA's"),
  expired: peer(
    "a certificate of the chain has ended",
    "the peer could not renew: look at its log for certificate_renewal_failed",
  ),
  identity_mismatch: peer(
    "the peer's SPIFFE ID is not one that is expected here",
    "another project's certificate, or a stale directory: name the project in tencrypt.io/peers on both sides if it may call, else find what runs at the address",
  ),
  wrong_issuer: peer(
    "the issuing CA is not the one that the trust bundle lists for the named project",
    "for seconds after a project CA was replaced: nothing; if the label of the namespace was taken off: restart its pods; else it may be forged with another project's CA: find what runs at the address, then docs/operations.md, Revoke",
  ),
  no_pod_identity: peer("the leaf names no pod", notOurs),
  wrong_namespace_uid: peer(
    "the leaf is of an earlier namespace of the same name",
    "the namespace was deleted and made again: restart the pod",
  ),
  wrong_pod: peer(
    "the leaf belongs to another pod than the one at that address",
    "for a moment after an address was re-used: nothing; else the certificate may be stolen: deny its pod, docs/operations.md, Revoke",
  ),
  pod_denied: peer(
    "the pod was revoked",
    "an operator put its uid into denied in the ca's store: docs/operations.md, Revoke",
  ),
  bad_reauthentication: peer(
    "a request to re-authenticate a session, or its answer, proves nothing",
    "look at the peer's log and version: it is broken or hostile, and its connections end with the certificates that it showed before",
  ),
  // --- the end of a session or of an open connection
  certificate_ended: local(
    "a certificate of the session reached its notAfter",
    "one side could not renew, or is no proxy of ours: look at its log for certificate_renewal_failed",
  ),
  issuer_removed: local(
    "the peer's CA or pod left the trust bundle",
    "nothing if a CA was replaced, a pod revoked (docs/operations.md, Revoke) or a peer project dropped; else look for who changed Secrets in tencrypt-ca or the label of the namespace",
  ),
  policy_changed: local(
    "the rules that hold now would refuse the connection, which was open already",
    "the log's detail begins with the code of that refusal: see there",
  ),
  peer_silent: network("the peer did not answer a PING in time", "check the network and the node of the peer"),
  // --- the directory document
  directory_unreadable: local("the directory document could not be read", "check the path and its permissions"),
  directory_malformed: local("the directory document has missing or wrong fields", "the log names the path of each"),
  directory_too_large: local("the directory document is larger than 64 MiB", "split the cluster's snapshot by project"),
  directory_not_newer: local(
    "the document's version is not higher than that of the snapshot in use",
    "versions only go up: check who writes the document",
  ),
  directory_lacks_own_project: local(
    "the document does not hold this pod's own project",
    "it is another cluster's or project's document: give the proxy its own",
  ),
  directory_lacks_own_address: local(
    "the document does not name this pod at all of its own addresses",
    "the snapshot is older than the pod, or another pod's: wait for the next one, and if none comes, tencrypt check",
  ),
  directory_requires_unknown_feature: local(
    "the document requires a feature that this proxy does not know",
    "upgrade the proxy",
  ),
  // --- the ca
  rate_limited: peer(
    "the caller asks for certificates or bundles more often than the ca's limit allows",
    "find what restarts in a loop, or raise the chart's ca.rateLimit and ca.rateBurst (TENCRYPT_CA_RATE_LIMIT, TENCRYPT_CA_RATE_BURST)",
  ),
  ca_busy: local(
    "as many calls as the ca takes at once, in all or of one pod, are under way, or its log is not read and the issuance would have no line",
    "the caller tries again by itself; add a replica if this lasts, and look at what reads the ca's log",
  ),
  request_incomplete: peer(
    "a request to the ca has more than 20 KiB of headers, or was not complete after 5 s, or too many at once were not",
    "look at what runs at the source address; the ca gives up such requests, whoever sends them",
  ),
  request_malformed: peer("the request is not of the form that the API demands, or larger than 16 KiB", noAgent),
  metadata_refused: peer(
    "the request carries metadata, with which an identity other than the caller's own could be asked for",
    "switch impersonation off in the caller",
  ),
  bad_validity: peer(
    "the asked validity is negative or shorter than 10 seconds",
    "ask for 0 (the default) or for 10 seconds and more",
  ),
  token_missing: peer("the call carries no bearer token, or more than one", "check TENCRYPT_TOKEN_FILE of the caller"),
  token_malformed: peer(
    "the token is not a signed token of the form of Kubernetes, or says a thing twice",
    "check that the caller uses a projected service account token",
  ),
  token_bad_algorithm: peer(
    "the token names another algorithm than its key's",
    "only RS256, ES256 and ES384, each with its own kind of key",
  ),
  token_unknown_key: peer(
    "no key of the key set is the one that the token names",
    "compare TENCRYPT_JWKS_FILE with the issuer's keys",
  ),
  token_bad_signature: peer(
    "the token's signature does not verify",
    "the token was altered or forged: find what runs at the source address",
  ),
  token_wrong_issuer: peer("the token is of another issuer", "compare the token's iss with TENCRYPT_TOKEN_ISSUER"),
  token_wrong_audience: peer(
    "the token's audience is not exactly the ca's",
    "project a token whose only audience is TENCRYPT_TOKEN_AUDIENCE",
  ),
  token_expired: peer(
    "the token has expired",
    "the caller re-reads its token at every use: check that the kubelet renews it, and both clocks",
  ),
  token_not_yet_valid: peer("the token is not valid yet", "compare the clocks of the issuer and of the ca"),
  token_not_of_a_pod: peer(
    "the token does not name one pod and one service account of one namespace",
    "only a token that is bound to a pod is accepted",
  ),
  token_keys_unavailable: local(
    "the key set that tokens are checked with cannot be read",
    "restore TENCRYPT_JWKS_FILE",
  ),
  token_review_unavailable: local(
    "the API server could not be asked who the token's owner is",
    "check that the API server answers and that the ca may create TokenReviews and read pods and namespaces",
  ),
  token_refused: peer(
    "the API server does not confirm the token for the ca's audience",
    "the token is of another cluster or audience, or its pod or account is gone: the audit line has its answer",
  ),
  project_not_enabled: peer(
    "the caller's namespace is no project",
    "set the label tencrypt.io/project=enabled on the namespace, and restart its pods",
  ),
  pod_gone: peer(
    "the pod that the token is bound to does not exist any more, or is another one of the same name",
    "nothing to do if the pod was deleted; a token that goes on being used was stolen",
  ),
  pod_not_protected: peer(
    "the caller's pod does not have the proxy that the webhook injects, or is on the host's network, or has ended",
    "restart the pod in an enabled namespace so that the webhook injects it; the audit line says what is missing",
  ),
  pod_address_pending: local(
    "the API does not show the pod's address yet",
    "nothing: the proxy asks again within 200 ms",
  ),
  source_mismatch: peer(
    "the connection does not come from the pod that the token belongs to",
    "a stolen token, or addresses are translated on the way to the ca: then set ca.sourceCheck to warn",
  ),
  csr_malformed: peer("the certificate request is not one PKCS#10 of at most 4 KiB in PEM and strict DER", noAgent),
  csr_bad_key: peer("the request is for a key other than P-256", "set the caller's key to ECDSA P-256"),
  csr_bad_signature: peer(
    "the request does not prove that the caller holds the private key",
    "the request was altered or made wrongly: let the caller make a new one",
  ),
  csr_other_identity: peer(
    "the request names an identity other than the caller's own",
    "the token decides who the caller is: compare both",
  ),
  csr_asks_too_much: peer(
    "the request asks for more than a certificate for its key",
    "ask for nothing, or for exactly the own SPIFFE ID",
  ),
  issuer_unusable: local(
    "the project's CA is damaged, has ended as the root may have, or was not issued by the root",
    "the field detail names the Secret or file: bring its copy back, or have the CA replaced: docs/operations.md, Revoke; where it says that the root has ended: A new root, on the same page",
  ),
  store_unavailable: local(
    "the store of the ca could not be read or written",
    "check the folder TENCRYPT_CA_STORE and its permissions, or that the API server answers",
  ),
  certificate_unfit: local(
    "the finished certificate did not pass the verifier and was thrown away",
    "a defect of the ca: report it with the field detail",
  ),
} satisfies Record<string, ReasonEntry>;

export type Reason = keyof typeof reasons;
