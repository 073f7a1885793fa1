/**
 * The Kubernetes objects that the control plane reads, as the API's JSON gives them, and of each only the fields that
 * something here looks at. Everything may be absent but what the API server itself sets. Pure.
 */

export type Metadata = {
  readonly name: string;
  readonly namespace?: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly creationTimestamp?: string;
  readonly deletionTimestamp?: string;
  readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly controller?: boolean }[];
};

export type KubeObject = { readonly apiVersion?: string; readonly kind?: string; readonly metadata: Metadata };

export type Namespace = KubeObject & { readonly status?: { readonly phase?: string } };

export type EnvVar = { readonly name: string; readonly value?: string; readonly valueFrom?: unknown };

export type Container = {
  readonly name: string;
  readonly image?: string;
  readonly restartPolicy?: string;
  readonly env?: readonly EnvVar[];
  readonly ports?: readonly {
    readonly name?: string;
    readonly containerPort: number;
    readonly protocol?: string;
    readonly hostPort?: number;
    readonly hostIP?: string;
  }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
  readonly securityContext?: Readonly<Record<string, unknown>> & { readonly runAsUser?: number };
  readonly [field: string]: unknown;
};

export type PodSpec = {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly ephemeralContainers?: readonly Container[];
  readonly volumes?: readonly (Readonly<Record<string, unknown>> & { readonly name: string })[];
  readonly nodeName?: string;
  readonly serviceAccountName?: string;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly shareProcessNamespace?: boolean;
  readonly securityContext?: Readonly<Record<string, unknown>> & { readonly runAsUser?: number };
  readonly os?: { readonly name?: string };
  readonly [field: string]: unknown;
};

export type Pod = KubeObject & {
  readonly spec: PodSpec;
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly podIPs?: readonly { readonly ip?: string }[];
    readonly hostIP?: string;
    readonly hostIPs?: readonly { readonly ip?: string }[];
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
};

export type Node = KubeObject & {
  readonly spec?: { readonly podCIDR?: string; readonly podCIDRs?: readonly string[] };
  readonly status?: { readonly addresses?: readonly { readonly type: string; readonly address: string }[] };
};

export type Service = KubeObject & {
  readonly spec: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly clusterIPs?: readonly string[];
    readonly externalIPs?: readonly string[];
    readonly sessionAffinity?: string;
    readonly internalTrafficPolicy?: string;
    readonly ports?: readonly {
      readonly name?: string;
      readonly protocol?: string;
      readonly port: number;
      readonly nodePort?: number;
      readonly appProtocol?: string;
      readonly targetPort?: number | string;
    }[];
  };
  readonly status?: {
    readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string; readonly ipMode?: string }[] };
  };
};

export type EndpointSlice = KubeObject & {
  readonly addressType: string;
  readonly ports?:
    | readonly {
        readonly name?: string | null;
        readonly protocol?: string | null;
        readonly port?: number | null;
      }[]
    | null;
  readonly endpoints?:
    | readonly {
        readonly addresses: readonly string[];
        readonly conditions?: {
          readonly ready?: boolean | null;
          readonly serving?: boolean | null;
          readonly terminating?: boolean | null;
        };
        readonly nodeName?: string | null;
        readonly zone?: string | null;
      }[]
    | null;
};

export type ServiceCidr = KubeObject & { readonly spec?: { readonly cidrs?: readonly string[] } };

export type Secret = KubeObject & { readonly type?: string; readonly data?: Readonly<Record<string, string>> };

export type ConfigMap = KubeObject & { readonly data?: Readonly<Record<string, string>> };
