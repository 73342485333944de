/** The texts' form, and where a ticket stands. */
import { format } from "/clients/shared/messages.js";
import { ahead, waitLeft } from "/clients/ticket/place.js";

import { Failures } from "./check.js";

const PEOPLE = "{n, plural, =0 {nobody} one {# person} other {# people}}";

export function messages() {
  const failures = new Failures();
  failures.same("a value", format("Ticket {token}, {desk}", { token: "A017", desk: "Room 3" }, "en"), "Ticket A017, Room 3");
  failures.same("a value that is missing stays visible", format("To {desk}", {}, "en"), "To {desk}");
  failures.same("exactly none", format(PEOPLE, { n: 0 }, "en"), "nobody");
  failures.same("one", format(PEOPLE, { n: 1 }, "en"), "1 person");
  failures.same("many", format(PEOPLE, { n: 1200 }, "en"), "1,200 people");
  failures.same("six plurals", format("{n, plural, zero {z} one {o} two {t} few {f} many {m} other {x}}", { n: 3 }, "ar"), "f");
  failures.same("a value inside a plural", format("{n, plural, other {# with {name}}}", { n: 2, name: "B" }, "en"), "2 with B");
  failures.same("digits of the language", format("{n}", { n: 17 }, "ar-EG"), "١٧");
  failures.same("text with markup stays text", format("{name}", { name: "<b>" }, "en"), "<b>");
  return failures;
}

const row = (ticket, rank, state = "waiting") => [`t:${ticket}`, { ticket, token: `A${ticket}`, state, rank, desk: null, call: null }];

export function places() {
  const failures = new Failures();
  const rows = new Map([row(1, 30), row(2, 10), row(3, 20, "on_hold"), row(4, 40), row(5, 5, "called"), ["queue", { rank: 1, state: "open" }]]);
  failures.same("by rank, among the waiting alone", [2, 1, 4].map((ticket) => ahead(rows, ticket)), [0, 1, 2]);
  failures.same("who doesn't wait has no place", [3, 5, 9].map((ticket) => ahead(rows, ticket)), [null, null, null]);
  const queue = { show_waits: true, state: "open", waits: [[60, 120], [300, 600]], waits_at: "2026-11-21T09:00:00Z" };
  const at = Date.parse(queue.waits_at);
  failures.same("a wait is counted down", waitLeft(queue, 1, at + 100_000), [200, 500]);
  failures.same("it never grows by a clock that is behind", waitLeft(queue, 0, at - 100_000), [60, 120]);
  failures.same("beyond what is estimated nothing is said", waitLeft(queue, 2, at), null);
  failures.same("a paused queue says nothing", waitLeft({ ...queue, state: "paused" }, 0, at), null);
  failures.same("waits that are not shown", waitLeft({ ...queue, show_waits: false }, 0, at), null);
  return failures;
}
