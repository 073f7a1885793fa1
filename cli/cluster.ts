/** The cluster that the user's kubeconfig names; what it refuses is told in words. */
import { systemClock } from "../lib/clock/clock.ts";
import { AccessError, loadAccess } from "../lib/kube/access.ts";
import { KubeClient, KubeError, noCredentials } from "../lib/kube/client.ts";
import { exitCodes } from "../lib/lifecycle/exit-codes.ts";
import { Failure } from "./failure.ts";

export type Connection = { readonly kubeconfig?: string | undefined; readonly context?: string | undefined };

export type Cluster = { readonly client: KubeClient; readonly namespace: string };

export function connect(options: Connection): Cluster {
  try {
    const access = loadAccess(options);
    return { client: new KubeClient(access, systemClock), namespace: access.namespace };
  } catch (error) {
    if (!(error instanceof AccessError)) throw error;
    throw new Failure(error.message, "tencrypt ... --kubeconfig FILE --context NAME", exitCodes.badConfiguration);
  }
}

/** Runs what talks to the cluster, closes the connection, and puts errors of the API into words. */
export async function withCluster<T>(options: Connection, work: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = connect(options);
  try {
    return await work(cluster);
  } catch (error) {
    throw error instanceof KubeError ? explained(error, cluster.client.server) : error;
  } finally {
    cluster.client.close();
  }
}

export function explained(error: KubeError, server: string): Failure {
  switch (error.code) {
    case 0:
      if (error.reason === noCredentials)
        return new Failure(
          `kubeconfig's credentials cannot be used: ${error.message}`,
          "kubectl auth whoami",
          exitCodes.badConfiguration,
        );
      return new Failure(`the API server ${server} does not answer: ${error.message}`, "kubectl cluster-info");
    case 401:
      return new Failure(`the API server ${server} does not accept your credentials`, "kubectl auth whoami");
    case 403:
      return new Failure(`you may not do this: ${error.message}`, "kubectl auth can-i --list");
    default:
      return error.code === 429 || error.code >= 500
        ? new Failure(
            `the API server ${server} cannot serve this now: ${error.message}`,
            "kubectl get --raw '/readyz?verbose', and the same again",
          )
        : new Failure(`the API server refused: ${error.message}`, "tencrypt check");
  }
}
