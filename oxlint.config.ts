/**
 * The lint rules. What they enforce is written down in CONTRIBUTING.md; who may import whom is derived from
 * `test/architecture/import-table.ts`. A limit that does not fit a place is an entry of `sizeExceptions`, with a reason.
 */
import { defineConfig } from "oxlint";
import type { OxlintConfig } from "oxlint";
import { clockReaders, unrestricted } from "./test/architecture/import-table.ts";
import { importOverrides } from "./test/architecture/lint-overrides.ts";

type Rules = NonNullable<OxlintConfig["rules"]>;

const lines = (max: number): Rules => ({ "max-lines": ["error", { max, skipBlankLines: false, skipComments: false }] });
const functionLines = (max: number): Rules => ({
  "max-lines-per-function": ["error", { max, skipBlankLines: true, skipComments: true, IIFEs: true }],
});

/** Each exception to the size limits is one place with its reason. */
const sizeExceptions: readonly { readonly files: string[]; readonly rules: Rules; readonly why: string }[] = [
  { files: ["*/main.ts"], rules: lines(120), why: "a program starts, waits and ends: nothing else" },
  { files: ["proxy/inbound.ts", "proxy/outbound.ts"], rules: lines(150), why: "each path is read from top to bottom" },
  { files: ["test/**/*.ts", "demo/**/*.ts", "bench/**/*.ts"], rules: lines(600), why: "a scenario is kept together" },
  {
    files: ["test/**/*.ts"],
    rules: {
      ...functionLines(120),
      "max-params": ["error", { max: 5 }],
      "max-depth": ["error", { max: 4 }],
      complexity: "off",
    },
    why: "a describe block is a function; a builder of odd inputs takes many options",
  },
];

const noClock: Rules = {
  "no-restricted-properties": [
    "error",
    { object: "Date", property: "now", message: "Time is an argument: lib/clock." },
    { object: "Math", property: "random", message: "Randomness is an argument." },
  ],
  "no-restricted-globals": [
    "error",
    { name: "performance", message: "Time is an argument: lib/clock." },
    { name: "setTimeout", message: "Timers are an argument: lib/clock." },
    { name: "setInterval", message: "Timers are an argument: lib/clock." },
  ],
};

/** `test()` of node:test returns a promise that the runner itself awaits. */
const nodeTest = { from: "package" as const, package: "node:test", name: ["test", "it", "describe", "suite"] };

const everywhere = unrestricted.map((path) => (path.endsWith("/") ? `${path}**` : path));

export default defineConfig({
  plugins: ["eslint", "typescript", "import", "node", "unicorn", "oxc"],
  categories: { correctness: "error" },
  options: { typeAware: true, reportUnusedDisableDirectives: "error", denyWarnings: true },
  ignorePatterns: ["dist/**", ".cache/**", "lib/proto/gen/**", "test/architecture/fixtures/**"],
  rules: {
    ...lines(400),
    ...functionLines(50),
    complexity: ["error", { max: 15 }], // every ?. and ?? counts as a branch
    "max-depth": ["error", { max: 3 }],
    "max-params": ["error", { max: 4 }],
    eqeqeq: "error",
    "no-var": "error",
    "prefer-const": "error",
    "import/no-cycle": ["error", { ignoreTypes: true }],
    "import/no-default-export": "error",
    "node/no-process-env": "error",
    "typescript/consistent-type-imports": ["error", { disallowTypeAnnotations: false }],
    "typescript/explicit-module-boundary-types": "error",
    "typescript/no-explicit-any": "error",
    "typescript/no-floating-promises": ["error", { allowForKnownSafeCalls: [nodeTest] }],
    "typescript/no-misused-promises": "error",
    "typescript/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
    "typescript/no-unnecessary-type-assertion": "error",
    "typescript/no-unnecessary-type-conversion": "error",
    "no-shadow": "error",
    "typescript/require-array-sort-compare": ["error", { ignoreStringArrays: true }],
    ...noClock,
  },
  overrides: [
    ...importOverrides,
    { files: ["*/main.ts", ...everywhere], rules: { "node/no-process-env": "off" } },
    {
      files: [...everywhere, ...clockReaders.map((path) => `${path}**`)],
      rules: { "no-restricted-properties": "off", "no-restricted-globals": "off" },
    },
    { files: ["oxlint.config.ts"], rules: { "import/no-default-export": "off" } },
    ...sizeExceptions.map(({ files, rules }) => ({ files, rules })),
  ],
});
