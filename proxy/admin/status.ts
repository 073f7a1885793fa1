/** What the proxy knows and does right now, for `GET /status` on the admin port. Holds no secret. */
import type { Credentials } from "../../lib/enrolment/identity.ts";
import type { Dataplane } from "../dataplane.ts";
import type { DirectorySource } from "../directory/source.ts";
import type { Session } from "../session/session.ts";

export type StatusInput = {
  readonly credentials: Credentials | null;
  readonly directory: Pick<DirectorySource, "current" | "refusal">;
  readonly plane: Dataplane;
};

export function statusOf({ credentials, directory, plane }: StatusInput): object {
  const view = directory.current();
  return {
    mode: plane.mode,
    dryRun: view?.policy.dryRun ?? null,
    directoryVersion: view?.snapshot.version ?? null,
    directoryRefusal: directory.refusal(),
    certificate:
      credentials === null
        ? null
        : {
            identity: credentials.identity.uri,
            serial: credentials.identity.serial,
            notAfter: new Date(credentials.identity.notAfter).toISOString(),
            generation: credentials.identity.generation,
          },
    trustBundle:
      credentials === null
        ? null
        : { version: credentials.bundle.version.toString(), projects: [...credentials.bundle.projects.keys()] },
    connections: plane.connections,
    sessions: plane.sessions.map(describeSession),
  };
}

function describeSession(session: Pick<Session, "facts" | "terms" | "streams" | "usable">): object {
  const { direction, address } = session.facts;
  const { tls, generation } = session.terms;
  return {
    direction,
    address,
    peer: tls.peerIdentity,
    cipher: tls.cipher,
    group: tls.group,
    generation,
    streams: session.streams,
    usable: session.usable,
  };
}
