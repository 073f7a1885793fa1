/** Which pods count as protected: every one that injection makes, and none that somebody made to look like one. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parse } from "yaml";
import { findPod } from "../../../../lib/inject/manifest.ts";
import type { Container, EnvVar, Pod, PodSpec } from "../../../../lib/kube/objects.ts";
import { portSettings } from "../../../../lib/kube/sidecar-form.ts";
import { readSidecar } from "../../../../lib/kube/sidecar.ts";

const folder = join(import.meta.dirname, "../../../golden/inject");

const injected = (name: string): Pod => {
  const found = findPod(parse(readFileSync(join(folder, name), "utf8")));
  assert.ok(found.kind === "found", name);
  return found.pod as Pod;
};

describe("every pod that injection makes is protected", () => {
  const files = readdirSync(folder).filter(
    (name) => name.endsWith(".injected.yaml") && !readFileSync(join(folder, name), "utf8").startsWith("#"),
  );
  test("there are at least thirty of them", () => assert.ok(files.length >= 30, String(files.length)));
  for (const file of files) test(file, () => assert.equal(readSidecar(injected(file)).kind, "sidecar"));
});

const good = injected("plain.injected.yaml");
const [init, proxy] = good.spec.initContainers as readonly [Container, Container];
const [app] = good.spec.containers as readonly [Container];
const pod = (spec: Partial<PodSpec>): Pod => ({ ...good, spec: { ...good.spec, ...spec } });

function refused(cases: Readonly<Record<string, readonly [spec: Partial<PodSpec>, why: RegExp]>>): void {
  for (const [what, [spec, why]] of Object.entries(cases))
    test(what, () => {
      const reading = readSidecar(pod(spec));
      assert.match(reading.kind === "none" ? reading.why : "it counts as protected", why);
    });
}

describe("a pod in which a container could take the proxy's certificate is not protected", () => {
  const volume = (projected: object): Partial<PodSpec> => ({
    volumes: [...good.spec.volumes!, { name: "mine", projected }],
  });
  const token = (audience: string): object => ({ sources: [{ serviceAccountToken: { audience, path: "token" } }] });
  const taking = (name: string): Container => ({ ...app, volumeMounts: [{ name, mountPath: "/t" }] });
  refused({
    "a token for the ca in another volume": [volume(token("tencrypt-ca")), /volume mine holds a token for the ca/],
    "among others": [
      volume({ sources: [{ configMap: { name: "x" } }, { serviceAccountToken: { audience: "tencrypt-ca" } }] }),
      /volume mine holds a token/,
    ],
    "our token in the application": [{ containers: [taking("tencrypt-token")] }, /container app mounts a volume/],
    "our memory in the application": [{ containers: [taking("tencrypt-state")] }, /container app mounts a volume/],
    "our token in a later init container": [
      { initContainers: [init, proxy, { ...taking("tencrypt-token"), name: "later" }] },
      /container later mounts a volume/,
    ],
    "our token in an ephemeral container": [
      { ephemeralContainers: [{ ...taking("tencrypt-token"), name: "debug" }] },
      /container debug mounts a volume/,
    ],
  });

  test("a token of another audience is the application's business, unless the ca takes just that one", () => {
    const vault = pod(volume(token("vault")));
    assert.equal(readSidecar(vault).kind, "sidecar");
    assert.equal(readSidecar(vault, "vault").kind, "none");
  });
});

// A pod that was made to look like an injected one.
const withInit = (changes: object): Partial<PodSpec> => ({ initContainers: [{ ...init, ...changes }, proxy] });
const withProxy = (changes: object): Partial<PodSpec> => ({ initContainers: [init, { ...proxy, ...changes }] });
const secure = ({ securityContext }: Container, changes: object): object => ({
  securityContext: { ...securityContext, ...changes },
});
const told = ({ env }: Container, ...more: readonly EnvVar[]): object => ({
  env: [...env!.filter(({ name }) => !more.some((each) => each.name === name)), ...more],
});
const filled = (name: string, content: object): Partial<PodSpec> => ({
  volumes: good.spec.volumes!.map((volume) => (volume.name === name ? { name, ...content } : volume)),
});
const exec = { exec: { command: ["cat", "/var/run/tencrypt/token/token"] } };
const tokenSource = { serviceAccountToken: { audience: "tencrypt-ca", path: "token" } };

describe("not protected: others see into the pod", () =>
  refused({
    hostPID: [{ hostPID: true }, /shares the host's processes/],
    hostNetwork: [{ hostNetwork: true }, /on the host's network/],
    shareProcessNamespace: [{ shareProcessNamespace: true }, /share their processes/],
    "an ephemeral container with the proxy's processes": [
      { ephemeralContainers: [{ name: "debug", targetContainerName: "tencrypt-proxy" }] },
      /container debug shares the processes of one of ours/,
    ],
    "or init's": [
      { ephemeralContainers: [{ name: "debug", targetContainerName: "tencrypt-init" }] },
      /container debug shares/,
    ],
  }));

describe("not protected: its images run something else", () =>
  refused({
    "envFrom on the proxy": [withProxy({ envFrom: [{ configMapRef: { name: "x" } }] }), /tencrypt-proxy .* envFrom/],
    "envFrom on init": [withInit({ envFrom: [{ configMapRef: { name: "x" } }] }), /tencrypt-init .* envFrom/],
    command: [withProxy({ command: ["sh"] }), /it has command/],
    args: [withInit({ args: ["--print"] }), /it has args/],
    lifecycle: [withProxy({ lifecycle: { postStart: exec } }), /it has lifecycle/],
    workingDir: [withProxy({ workingDir: "/x" }), /it has workingDir/],
    NODE_OPTIONS: [withProxy(told(proxy, { name: "NODE_OPTIONS", value: "-r x" })), /is given NODE_OPTIONS/],
    "an exec livenessProbe": [withProxy({ livenessProbe: exec }), /livenessProbe is none over HTTP/],
    "an exec probe of init": [withInit({ readinessProbe: exec }), /readinessProbe is none over HTTP/],
    "a probe of something else": [
      withProxy({ livenessProbe: { httpGet: { port: 8080, path: "/" } } }),
      /livenessProbe does not ask the proxy/,
    ],
    "no startupProbe": [withProxy({ startupProbe: undefined }), /startupProbe is missing/],
    "init's program under the file of its last words": [
      withInit({ terminationMessagePath: "/tencrypt/dist/init/main.js" }),
      /tencrypt-init .* another terminationMessagePath/,
    ],
    "the proxy's under its": [
      withProxy({ terminationMessagePath: "/tencrypt/dist/proxy/main.js" }),
      /tencrypt-proxy .* another terminationMessagePath/,
    ],
    "another policy of last words": [
      withProxy({ terminationMessagePolicy: "FallbackToLogsOnError" }),
      /another terminationMessagePolicy/,
    ],
    "a device, whose driver adds to the container": [
      withInit({ resources: { claims: [{ name: "x" }] } }),
      /tencrypt-init .* claims devices/,
    ],
    "a device of a plugin, which adds to it too": [
      withProxy({ resources: { limits: { cpu: "1", "vendor.example/x": "1" } } }),
      /tencrypt-proxy .* claims devices/,
    ],
    "the same, asked for by requests": [
      withInit({ resources: { requests: { "vendor.example/x": "1" } } }),
      /tencrypt-init .* claims devices/,
    ],
    "a block device": [
      withInit({ volumeDevices: [{ name: "x", devicePath: "/dev/x" }] }),
      /tencrypt-init .* volumeDevices/,
    ],
    "a terminal": [withProxy({ tty: true }), /it has tty/],
    "its standard input": [withProxy({ stdin: true }), /it has stdin/],
    "other ends than a failure's": [
      withInit({ restartPolicyRules: [{ action: "Restart" }] }),
      /it has restartPolicyRules/,
    ],
    "init as a sidecar": [withInit({ restartPolicy: "Always" }), /tencrypt-init .* restartPolicy/],
  }));

describe("not protected: its rights are others", () =>
  refused({
    "a proxy as root": [withProxy(secure(proxy, { runAsUser: 0 })), /no UID of its own/],
    "a proxy that says none": [withProxy({ securityContext: {} }), /no UID of its own/],
    "a proxy with a capability": [
      withProxy(secure(proxy, { capabilities: { add: ["SYS_PTRACE"], drop: ["ALL"] } })),
      /another securityContext/,
    ],
    "a proxy whose files can be written": [
      withProxy(secure(proxy, { readOnlyRootFilesystem: false })),
      /another securityContext/,
    ],
    "init without NET_ADMIN": [withInit(secure(init, { capabilities: { drop: ["ALL"] } })), /another securityContext/],
    "init privileged": [withInit(secure(init, { privileged: true })), /another securityContext/],
  }));

describe("not protected: the rules leave others alone", () =>
  refused({
    "proxy and application under one UID": [
      {
        ...withProxy(secure(proxy, { runAsUser: 1000, runAsGroup: 1000 })),
        containers: [{ ...app, securityContext: { runAsUser: 1000 } }],
      },
      /another UID than the proxy's/,
    ],
    "and the rules say so": [
      {
        initContainers: [
          { ...init, ...told(init, { name: "TENCRYPT_PROXY_UID", value: "1000" }) },
          { ...proxy, ...secure(proxy, { runAsUser: 1000, runAsGroup: 1000 }) },
        ],
        containers: [{ ...app, securityContext: { runAsUser: 1000 } }],
      },
      /container app runs under the proxy's UID/,
    ],
    "the pod says it for the application": [{ securityContext: { runAsUser: 1337 } }, /container app runs under/],
    "an ephemeral container says it": [
      { ephemeralContainers: [{ name: "debug", securityContext: { runAsUser: 1337 } }] },
      /container debug runs under/,
    ],
    "the rules leave another UID alone": [
      withInit(told(init, { name: "TENCRYPT_PROXY_UID", value: "1000" })),
      /another UID than the proxy's/,
    ],
    "the UID is said twice": [
      withInit({ env: [...init.env!, { name: "TENCRYPT_PROXY_UID", value: "1000" }] }),
      /is given TENCRYPT_PROXY_UID/,
    ],
    "the UID comes from elsewhere": [
      withInit(told(init, { name: "TENCRYPT_PROXY_UID", valueFrom: { configMapKeyRef: { name: "x", key: "y" } } })),
      /is given TENCRYPT_PROXY_UID/,
    ],
    "the proxy listens at another port than the rules name": [
      withProxy(told(proxy, { name: "TENCRYPT_TUNNEL_PORT", value: "25008" })),
      /is given TENCRYPT_TUNNEL_PORT/,
    ],
    "a port that is said elsewhere": [
      withInit(told(init, { name: "TENCRYPT_HEALTH_PORT", valueFrom: { configMapKeyRef: { name: "x", key: "y" } } })),
      /is given TENCRYPT_HEALTH_PORT/,
    ],
    "a port of the application is let through": [
      withInit(told(init, { name: "TENCRYPT_METRICS_PORT", value: "8080" })),
      /is given TENCRYPT_METRICS_PORT/,
    ],
  }));

describe("not protected: what it is told can change, or is told by others", () =>
  refused({
    "its floor": [
      withProxy(told(proxy, { name: "TENCRYPT_MODE", valueFrom: { configMapKeyRef: { name: "x", key: "y" } } })),
      /is given TENCRYPT_MODE/,
    ],
    "its name": [withProxy(told(proxy, { name: "TENCRYPT_POD_NAME", value: "other" })), /is given TENCRYPT_POD_NAME/],
    "its token": [filled("tencrypt-token", { emptyDir: {} }), /volume tencrypt-token/],
    "its token, with a file beside": [
      filled("tencrypt-token", { projected: { sources: [tokenSource, { configMap: { name: "x" } }] } }),
      /volume tencrypt-token/,
    ],
    "its root": [filled("tencrypt-root", { configMap: { name: "x" } }), /volume tencrypt-root/],
    "its memory": [filled("tencrypt-state", { hostPath: { path: "/x" } }), /volume tencrypt-state/],
    "its memory, on disk": [filled("tencrypt-state", { emptyDir: {} }), /volume tencrypt-state/],
    "no volumes": [{ volumes: [] }, /volume tencrypt-token/],
    "a volume of others": [
      withProxy({ volumeMounts: [...proxy.volumeMounts!, { name: "own", mountPath: "/tencrypt" }] }),
      /own is mounted at/,
    ],
    "a volume at another's place": [
      withProxy({
        volumeMounts: [
          ...proxy.volumeMounts!.slice(1),
          { name: "tencrypt-token", mountPath: "/var/run/tencrypt/root" },
        ],
      }),
      /tencrypt-token is mounted at/,
    ],
    "a part of a volume": [
      withProxy({
        volumeMounts: proxy.volumeMounts!.map((mount) =>
          mount.name === "tencrypt-token" ? { ...mount, subPath: "x" } : mount,
        ),
      }),
      /tencrypt-token is mounted at/,
    ],
  }));

test("what the API server fills in is as good as what injection writes, and so is an ephemeral container beside the application", () => {
  const bare = ({ terminationMessagePath: _path, terminationMessagePolicy: _policy, ...rest }: Container): Container =>
    rest;
  assert.equal(readSidecar(pod({ initContainers: [bare(init), bare(proxy)] })).kind, "sidecar");
  const debug = { name: "debug", targetContainerName: "app" };
  assert.equal(readSidecar(pod({ ephemeralContainers: [debug] })).kind, "sidecar");
});

test("what an earlier release injected, which told no ports, is as good", () => {
  const earlier = (container: Container): Container => ({
    ...container,
    env: container.env!.filter(({ name }) => !Object.hasOwn(portSettings, name)),
  });
  assert.notDeepEqual(earlier(init), init);
  const reading = readSidecar(pod({ initContainers: [earlier(init), earlier(proxy)] }));
  assert.equal(reading.kind === "sidecar" && reading.tunnelPort, 15_008);
});

test("another UID than the usual one, as on OpenShift, is as good", () => {
  const reading = readSidecar(injected("openshift-range.injected.yaml"));
  assert.equal(reading.kind, "sidecar");
  const uid = injected("openshift-range.injected.yaml").spec.initContainers?.[1]?.securityContext?.runAsUser;
  assert.notEqual(uid, 1337);
});
