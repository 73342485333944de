// @ts-check
/** Owns the start of the back office: who has signed in, and that the page follows them. */
import { start } from "../shared/start.js";
import { Admin } from "./view.js";
import { begin, end } from "./work.js";

void start({ view: Admin, begin, end });
