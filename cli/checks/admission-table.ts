/** Fingerprints of what this version's chart renders. `npm run golden` writes them, a test compares. Pure. */
import type { Shape } from "./admission-shape.ts";

export const chartShapes: Readonly<Record<string, Shape>> = {
  "inject.tencrypt.io": {
    rules: "6a72a3b4d46b40fd",
    namespaceSelector: "8ff1d54c1543006d",
    objectSelector: "44136fa355b3678a",
    matchConditions: "44136fa355b3678a",
    matchPolicy: "44136fa355b3678a",
    reinvocationPolicy: "ba319e66e12a576c",
    service: "5b5288cf728ea9da",
  },
  "peers.tencrypt.io": {
    rules: "d17d6db70ecafa15",
    namespaceSelector: "8ff1d54c1543006d",
    objectSelector: "44136fa355b3678a",
    matchConditions: "3a9fceded161b10c",
    matchPolicy: "44136fa355b3678a",
    reinvocationPolicy: "ba319e66e12a576c",
    service: "a5de5eef064d1e45",
  },
  "validate.tencrypt.io": {
    rules: "e3bcb38131f0d7b4",
    namespaceSelector: "8ff1d54c1543006d",
    objectSelector: "44136fa355b3678a",
    matchConditions: "4415937e4d8f3a73",
    matchPolicy: "44136fa355b3678a",
    reinvocationPolicy: "44136fa355b3678a",
    service: "90d9087061858c97",
  },
  "tencrypt-exec": {
    matchConstraints: "caf3983081188a36",
    matchConditions: "fc488adb79466689",
    paramKind: "44136fa355b3678a",
    variables: "44136fa355b3678a",
    validations: "8333ed919c25677e",
  },
  "tencrypt-pods": {
    matchConstraints: "3bcc0db8ac64a36b",
    matchConditions: "777ba2f811a59d35",
    paramKind: "44136fa355b3678a",
    variables: "44136fa355b3678a",
    validations: "7b04e4ef0654129c",
  },
  "tencrypt-projects": {
    matchConstraints: "2f7f240f6700d4a9",
    matchConditions: "059860b37d042863",
    paramKind: "44136fa355b3678a",
    variables: "2943afc7ff2cae1f",
    validations: "9bbdb971e679562b",
  },
  "tencrypt-never-projects": {
    matchConstraints: "20f06fd11faa5848",
    matchConditions: "44136fa355b3678a",
    paramKind: "44136fa355b3678a",
    variables: "44136fa355b3678a",
    validations: "3597f0474f516110",
  },
  "tencrypt-tokens": {
    matchConstraints: "e374cd58ada4f399",
    matchConditions: "4516e9337eedf234",
    paramKind: "44136fa355b3678a",
    variables: "44136fa355b3678a",
    validations: "02ccb69a55b95d59",
  },
};
