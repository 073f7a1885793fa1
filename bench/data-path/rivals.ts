/**
 * HAProxy and nginx in the shape of Tencrypt: one instance in the client's pod takes what is captured on 15001 and
 * carries it over mutual TLS 1.3 to one in the server's pod on 15008, which passes it to the application. One thread
 * each, connections kept open on every hop, no access log, the cipher that our proxies agree on.
 */
import { join } from "node:path";
import { general } from "../../test/pki/pki.ts";
import type { Pki } from "../../test/pki/pki.ts";
import type { Cluster, Pod } from "../../test/topology/cluster.ts";
import { uids } from "../../test/topology/enter.ts";
import type { Child } from "../../test/topology/cluster.ts";
import type { ContenderName } from "./arguments.ts";

export type Side = "client" | "server";
export type RivalName = Exclude<ContenderName, "tencrypt">;

const cipher = "TLS_AES_256_GCM_SHA384";
export const applicationPort = 8080;
const serverName = "server.bench";

type Place = { readonly side: Side; readonly folder: string; readonly serverIp: string };

/** `bind` and `server` lines name the files that `writeCredentials` makes. */
function haproxy(kind: Exclude<RivalName, "nginx">, { side, folder, serverIp }: Place): string {
  const mode = kind === "haproxy-tcp" ? "tcp" : "http";
  const http2 = kind === "haproxy-h2";
  const tls = `ssl crt ${folder}/tls.pem ca-file ${folder}/root.pem verify required ssl-min-ver TLSv1.3 ciphersuites ${cipher}`;
  const alpn = http2 ? " alpn h2" : "";
  const bind = side === "client" ? "127.0.0.1:15001" : `0.0.0.0:15008 ${tls}${alpn}`;
  const server =
    side === "client"
      ? `${serverIp}:15008 ${tls}${alpn} sni str(${serverName}) verifyhost ${serverName}`
      : `${serverIp}:${applicationPort}`;
  return `
global
  nbthread 1
  maxconn 6000
defaults
  mode ${mode}
  maxconn 6000
  timeout connect 5s
  timeout client 300s
  timeout server 300s
${mode === "http" ? "  option http-keep-alive\n  http-reuse always\n  timeout http-keep-alive 300s" : ""}
frontend in
  bind ${bind}
  default_backend out
backend out
  server peer ${server}
`;
}

const nginxPlaces = (folder: string): string =>
  ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `  ${name}_temp_path ${folder}/${name};`)
    .join("\n");

/** What every nginx here has: one worker in the foreground that writes only below its folder. */
export const nginxFrame = (folder: string, http: string): string => `
daemon off;
master_process off;
worker_rlimit_nofile 8000;
pid ${folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 6000; }
http {
${nginxPlaces(folder)}
  access_log off;
  sendfile on;
  tcp_nodelay on;
  keepalive_timeout 300s;
  keepalive_requests 1000000000;
  client_max_body_size 0;
${http}
}
`;

function nginx({ side, folder, serverIp }: Place): string {
  const files = (prefix: string): string => `
    ${prefix}_certificate ${folder}/tls.pem;
    ${prefix}_certificate_key ${folder}/tls.pem;
    ${prefix}_protocols TLSv1.3;
    ${prefix}_conf_command Ciphersuites ${cipher};`;
  const asClient = `${files("proxy_ssl")}
    proxy_ssl_trusted_certificate ${folder}/root.pem;
    proxy_ssl_verify on;
    proxy_ssl_verify_depth 2;
    proxy_ssl_server_name on;
    proxy_ssl_name ${serverName};`;
  const asServer = `${files("ssl")}
    ssl_client_certificate ${folder}/root.pem;
    ssl_verify_client on;
    ssl_verify_depth 2;`;
  const upstream = side === "client" ? `${serverIp}:15008` : `${serverIp}:${applicationPort}`;
  return nginxFrame(
    folder,
    `
  upstream peer {
    server ${upstream};
    keepalive 1024;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
  }
  server {
    listen ${side === "client" ? "127.0.0.1:15001" : "0.0.0.0:15008 ssl"};
    ${side === "client" ? asClient : asServer}
    location / {
      proxy_pass ${side === "client" ? "https" : "http"}://peer;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
    }
  }`,
  );
}

/** A leaf by the control-plane CA: those of projects may carry no host name. */
function writeCredentials(cluster: Cluster, pki: Pki, folder: string): void {
  const leaf = pki.issueControlPlane({
    project: "bench",
    serviceAccount: "rival",
    names: [general.dns(serverName)],
  });
  cluster.writeFile(join(folder, "tls.pem"), leaf.keyPem + leaf.chainPem, 0o400, uids.proxy);
  cluster.writeFile(join(folder, "root.pem"), pki.root.pem, 0o444, uids.proxy);
}

export function startRival(
  name: RivalName,
  { cluster, pki, pods, side }: { cluster: Cluster; pki: Pki; pods: Readonly<Record<Side, Pod>>; side: Side },
): Child {
  const folder = cluster.makeFolder(`${name}-${side}`, uids.proxy);
  writeCredentials(cluster, pki, folder);
  const file = join(folder, "rival.conf");
  const place = { side, folder, serverIp: pods.server.ip };
  cluster.writeFile(file, name === "nginx" ? nginx(place) : haproxy(name, place), 0o400, uids.proxy);
  const command =
    name === "nginx" ? ["nginx", "-p", folder, "-c", file, "-e", "stderr"] : ["haproxy", "-db", "-f", file];
  return pods[side].spawn(name, command, { uid: uids.proxy });
}
