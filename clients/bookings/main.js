// @ts-check
/** Owns the start of the list of appointments: who has signed in, and that the page follows them. */
import { user } from "../shared/session.js";
import { start } from "../shared/start.js";
import { Bookings } from "./view.js";
import { begin, end } from "./work.js";

void start({ view: Bookings, title: "bookings.title", begin: () => user.peek()?.role !== "patient" && begin(), end });
