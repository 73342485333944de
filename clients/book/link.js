// @ts-check
/** Owns the link of a page on which people book or look after their appointments. */
import { connect as open } from "../shared/connection.js";

/** A phone's network pauses now and then; that is no reason to alarm anybody. */
const QUIET_MS = 15_000;

/** @param {() => boolean} idle nothing would be lost by a reload */
export const connect = (idle) => open(idle, QUIET_MS);
