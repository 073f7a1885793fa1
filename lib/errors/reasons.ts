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

const by =
  (initiator: Initiator) =>
  (what: string, hint: string): ReasonEntry => ({ initiator, what, hint });
const [local, application, peer, network] = [by("local"), by("application"), by("peer"), by("network")];

/** Each: what has happened, and what to do. */
export const reasons = {
  // --- outbound: the route
  no_directory: local(
    "no directory snapshot has been accepted yet, so nothing can be told apart",
    "check that the controller (or the directory file) is reachable and names this pod's project and addresses",
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
    "the pod may be newer than the snapshot, or gone: check the directory's version in /status",
  ),
  address_conflict: local(
    "two live pods claim the address",
    "find the two pods in the directory and delete the stale one",
  ),
  peer_not_enrolled: peer(
    "the peer is in the project but has no proxy",
    "inject it, or set tencrypt.io/mode=permissive while rolling out",
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
    "raise the limit or find what opens so many connections",
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
  handshake_failed: peer("the TLS handshake failed", "read the TLS alert beside this code"),
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
    "check the application",
  ),
  clear_dial_failed: network("the connection in clear to the destination failed", "check the destination"),
  // --- inbound
  plaintext_refused: peer(
    "clear text from a source that must encrypt, or that mode strict does not name",
    "inject the source, or name it in tencrypt.io/allow-ingress if it is outside the project",
  ),
  source_unknown: peer(
    "the source address lies inside the cluster's ranges and the directory names nobody there",
    "the pod may be newer than the snapshot: it will be known after the next one",
  ),
  node_source_refused: peer(
    "clear text from a node address, which cannot be attributed, and node sources are refused",
    "set tencrypt.io/node-sources=accept, or name the source in tencrypt.io/allow-ingress",
  ),
  not_my_address: peer("the destination is no address of this pod", "the directory of the caller may be stale"),
  bad_request: peer(
    "the CONNECT request is not of the form that the protocol demands",
    "the caller is no Tencrypt or HBONE proxy",
  ),
  caller_not_allowed: peer(
    "tencrypt.io/allow-from does not name the caller",
    "add <project>/<service account>[:port] to tencrypt.io/allow-from",
  ),
  caller_gone: peer(
    "the caller went away before the application had answered",
    "nothing to do, unless there are many: then the application accepts slowly, or a caller resets on purpose",
  ),
  no_alpn: peer("the peer did not negotiate h2", "the caller is no Tencrypt or HBONE proxy"),
  // --- the verifier
  no_certificate: peer("the peer showed no certificate", "the caller is no proxy of this mesh"),
  untrusted_chain: peer("OpenSSL does not trust the chain", "the certificate is self-signed or from another root"),
  chain_too_long: peer(
    "the chain is not leaf and project CA (the root tolerated as last)",
    "the certificate was not issued by Tencrypt's CA",
  ),
  chain_too_large: peer("the chain is larger than 16 KiB", "the certificate was not issued by Tencrypt's CA"),
  malformed_certificate: peer(
    "a certificate of the chain is not strict DER of the expected form",
    "the certificate was not issued by Tencrypt's CA",
  ),
  bad_version: peer("a certificate is not X.509 v3", "the certificate was not issued by Tencrypt's CA"),
  bad_serial: peer(
    "a serial number is not positive or longer than 20 octets",
    "the certificate was not issued by Tencrypt's CA",
  ),
  bad_algorithm: peer(
    "a signature algorithm is not allowed, or differs inside and outside of the signed part",
    "only ECDSA P-256 or Ed25519 with SHA-256 or better",
  ),
  bad_key: peer("a public key is not an allowed one", "only P-256 (named, uncompressed) or Ed25519"),
  bad_signature: peer("the leaf's signature is not the project CA's", "the certificate was altered or forged"),
  bad_subject_alternative_name: peer(
    "the leaf does not carry exactly one subject alternative name that is a SPIFFE ID of the mesh's form",
    "the certificate was not issued by Tencrypt's CA",
  ),
  bad_basic_constraints: peer(
    "BasicConstraints are missing or not what they must be",
    "the certificate was not issued by Tencrypt's CA",
  ),
  bad_key_usage: peer("KeyUsage is not exactly what it must be", "the certificate was not issued by Tencrypt's CA"),
  bad_extended_key_usage: peer(
    "ExtendedKeyUsage is not exactly clientAuth and serverAuth",
    "the certificate was not issued by Tencrypt's CA",
  ),
  bad_name_constraints: peer(
    "a project CA's name constraints do not exclude every DNS name and address",
    "the CA certificate was not made by Tencrypt's CA",
  ),
  unknown_critical_extension: peer(
    "a critical extension is unknown",
    "the certificate was not issued by Tencrypt's CA",
  ),
  lifetime_too_long: peer(
    "the leaf lives longer than TENCRYPT_MAX_LEAF_LIFETIME",
    "compare the CA's TENCRYPT_LEAF_TTL with the proxy's TENCRYPT_MAX_LEAF_LIFETIME",
  ),
  not_yet_valid: peer("a certificate of the chain is not valid yet", "compare the clocks of both nodes and the CA's"),
  expired: peer(
    "a certificate of the chain has ended",
    "the peer could not renew: look at its log for certificate_renewal_failed",
  ),
  identity_mismatch: peer(
    "the peer's SPIFFE ID is not one that is expected here",
    "another project's certificate, or a stale directory",
  ),
  wrong_issuer: peer(
    "the issuing CA is not the one that the trust bundle lists for the named project",
    "a certificate forged with another project's CA, or a project CA that has been replaced",
  ),
  no_pod_identity: peer("the leaf names no pod", "the certificate was not issued by Tencrypt's CA"),
  wrong_namespace_uid: peer(
    "the leaf is of an earlier namespace of the same name",
    "the namespace was deleted and made again: restart the pod",
  ),
  wrong_pod: peer(
    "the leaf belongs to another pod than the one at that address",
    "the address was re-used, or a certificate was stolen",
  ),
  pod_denied: peer(
    "the pod was revoked",
    "an operator put its uid into denied in the ca's store: docs/operations.md, Revoke",
  ),
  bad_reauthentication: peer(
    "a request to re-authenticate a session, or its answer, proves nothing",
    "a peer that is broken or hostile: its connections end with the certificates that it showed before",
  ),
  // --- the end of a session or of an open connection
  certificate_ended: local(
    "a certificate of the session reached its notAfter",
    "one side could not renew, or is no proxy of ours: look at its log for certificate_renewal_failed",
  ),
  issuer_removed: local("the peer's CA or pod left the trust bundle", "see the CA's audit log"),
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
    "it is another cluster's or project's document",
  ),
  directory_lacks_own_address: local(
    "the document does not name this pod at all of its own addresses",
    "the snapshot is older than the pod, or another pod's",
  ),
  directory_requires_unknown_feature: local(
    "the document requires a feature that this proxy does not know",
    "upgrade the proxy",
  ),
  // --- the ca
  rate_limited: peer(
    "the caller asks for certificates or bundles more often than the ca's limit allows",
    "find what restarts in a loop, or raise TENCRYPT_CA_RATE_LIMIT and TENCRYPT_CA_RATE_BURST",
  ),
  ca_busy: local(
    "as many calls as the ca takes at once are under way, or its log is not read and the issuance would have no line",
    "the caller tries again by itself; add a replica if this lasts, and look at what reads the ca's log",
  ),
  request_incomplete: peer(
    "a request to the ca has more than 20 KiB of headers, or was not complete after 5 s, or too many at once were not",
    "look at what runs at the source address; the ca gives up such requests, whoever sends them",
  ),
  request_malformed: peer(
    "the request is not of the form that the API demands",
    "the caller is no Tencrypt proxy and no agent that speaks Istio's CreateCertificate",
  ),
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
  token_bad_signature: peer("the token's signature does not verify", "the token was altered or forged"),
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
  csr_malformed: peer(
    "the certificate request is not one PKCS#10 of at most 4 KiB in PEM and strict DER",
    "the caller is no Tencrypt proxy and no agent that speaks Istio's CreateCertificate",
  ),
  csr_bad_key: peer("the request is for a key other than P-256", "set the caller's key to ECDSA P-256"),
  csr_bad_signature: peer(
    "the request does not prove that the caller holds the private key",
    "the request was altered",
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
    "the project's CA is damaged, has ended, or was not issued by the root",
    "repair or remove its folder or Secret in the store",
  ),
  store_unavailable: local(
    "the store of the ca could not be read or written",
    "check the folder TENCRYPT_CA_STORE and its permissions, or that the API server answers",
  ),
  certificate_unfit: local(
    "the finished certificate did not pass the verifier and was thrown away",
    "a defect of the ca: read the detail",
  ),
} satisfies Record<string, ReasonEntry>;

export type Reason = keyof typeof reasons;
