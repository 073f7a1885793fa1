/**
 * Times of a certificate (RFC 5280, 4.1.2.5): UTCTime through 2049, GeneralizedTime from 2050, both in seconds and Z,
 * and only for moments that exist. One moment has one form. Pure.
 */
import { latin1Text, malformed, tags } from "./der.ts";
import type { Element } from "./der.ts";

const utcTime = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;
const generalizedTime = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/;

/** Milliseconds since the epoch. Inside of `decode` only. */
export function readTime(element: Element, bytes: Uint8Array): number {
  const generalized = element.tag === tags.generalizedTime;
  if (!generalized && element.tag !== tags.utcTime) malformed("neither UTCTime nor GeneralizedTime", element.start);
  const fields = (generalized ? generalizedTime : utcTime).exec(latin1Text(bytes, element));
  if (fields === null) return malformed("form of a time", element.start);
  const [years, month, day, hour, minute, second] = fields.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (generalized && years < 2050) malformed("GeneralizedTime before 2050", element.start);
  const year = generalized ? years : years < 50 ? 2000 + years : 1900 + years;
  const time = Date.UTC(year, month - 1, day, hour, minute, second);
  // What does not exist (30 February, 24:00, a leap second) comes back as another moment.
  const again = new Date(time);
  const exists =
    again.getUTCMonth() === month - 1 &&
    again.getUTCDate() === day &&
    again.getUTCHours() === hour &&
    again.getUTCMinutes() === minute;
  if (!exists || again.getUTCSeconds() !== second) malformed("time that does not exist", element.start);
  return time;
}
