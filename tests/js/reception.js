/** What reception reads of a birth, and what it shows before the server has answered. */
import { birthIn } from "/clients/reception/birth.js";
import { landing, rankAt, settled, withMoves } from "/clients/reception/moves.js";

import { Failures } from "./check.js";

const NOW = Date.parse("2026-11-21T09:00:00Z");

export function births() {
  const failures = new Failures();
  const day = { birth_date: "1961-03-14" };
  for (const [text, expected] of [
    ["", {}], ["  ", {}], ["1961", { birth_year: 1961 }], ["١٩٦١", { birth_year: 1961 }], ["१९६१", { birth_year: 1961 }],
    ["14.3.1961", day], ["14/03/1961", day], ["14 3 61", day], ["1961-03-14", day], ["14031961", day], ["١٤/٣/١٩٦١", day],
    ["1.1.24", { birth_date: "2024-01-01" }], ["31.12.27", { birth_date: "1927-12-31" }], ["29.2.2024", { birth_date: "2024-02-29" }],
    ["29.2.2023", null], ["31.4.1961", null], ["2030", null], ["1.1.2027", null], ["1700", null], ["soon", null], ["14.3", null], ["61", null],
  ])
    failures.same(`"${text}"`, birthIn(text, NOW), expected);
  return failures;
}

const ticket = (number, rank, more = {}) => ({
  ticket: number, rank, state: "waiting", urgency: "routine", patient: { id: number }, joined_at: new Date(NOW + number * 60_000).toISOString(), ...more,
});
const order = (lists, queue) => [...(lists.get(queue) ?? [])].sort((a, b) => a.rank - b.rank).map((one) => one.ticket);

export function moves() {
  const failures = new Failures();
  const lists = new Map([[1, [ticket(1, 10), ticket(2, 20), ticket(3, 30)]], [2, [ticket(4, 5)]]]);
  const up = { id: 1, row: ticket(3, 30), from: 1, to: 1, change: { rank: rankAt([ticket(1, 10), ticket(2, 20)], 0) } };
  failures.same("a place by hand shows at once", order(withMoves(lists, [up]), 1), [3, 1, 2]);
  failures.same("taken away, all is as the server said", order(withMoves(lists, []), 1), [1, 2, 3]);
  const over = { id: 2, row: ticket(2, 20), from: 1, to: 2, change: { rank: 6 } };
  const both = withMoves(lists, [up, over]);
  failures.same("two moves lie on each other", [order(both, 1), order(both, 2)], [[3, 1], [4, 2]]);
  const arrived = new Map([[1, [ticket(1, 10)]], [2, [ticket(4, 5), ticket(9, 6, { patient: { id: 2 } })]]]);
  failures.same("who has arrived is not shown twice", order(withMoves(arrived, [over]), 2), [4, 9]);
  failures.same("before an answer nothing is settled", settled(over, arrived), false);
  const answer = ticket(9, 6, { patient: { id: 2 } });
  failures.same("nor before the stream shows it", settled({ ...over, answer }, lists), false);
  failures.same("then it is", settled({ ...over, answer }, arrived), true);
  const gone = { id: 3, row: ticket(1, 10), from: 1, to: 1, change: { state: "cancelled" } };
  failures.same("who is taken off is gone at once", order(withMoves(lists, [gone]), 1), [2, 3]);
  failures.same("and settled once the stream says so", [settled({ ...gone, answer: null }, lists), settled({ ...gone, answer: null }, new Map([[1, []]]))], [false, true]);
  return failures;
}

export function landings() {
  const failures = new Failures();
  const others = [ticket(1, 1, { urgency: "emergency" }), ticket(3, 2, { urgency: "urgent" }), ticket(2, 3), ticket(6, 4)];
  failures.same("by arrival among its like", landing(others, ticket(4, 0), "urgent_first"), 3);
  failures.same("urgent before routine", landing(others, ticket(4, 0, { urgency: "urgent" }), "urgent_first"), 2);
  failures.same("an emergency behind emergencies", landing(others, ticket(4, 0, { urgency: "emergency" }), "fifo"), 1);
  failures.same("an empty queue", landing([], ticket(4, 0), "fifo"), 0);
  return failures;
}
