/**
 * What travels between the pages and the server, as the pages read it. The events themselves are in events.d.ts,
 * generated from the server's models; here is the envelope, the rows, and the answers.
 */

export type Row = Record<string, any>;
export type Rows = Map<string, Row>;

export interface Envelope {
  type: string;
  stream: string;
  epoch: string;
  version: number;
  at: string;
  data: { put?: Record<string, Row>; drop?: string[]; ticket?: number; token?: string; [fact: string]: any };
}

export interface StreamAsk {
  stream: string;
  epoch?: string;
  version?: number;
}

export interface StreamAnswer {
  epoch: string;
  version: number;
  events?: Envelope[];
  snapshot?: { rows: Record<string, Row> };
}

import type { BoardQueue, State } from "./events.js";

export type { BoardTicket, ShownBoard, StaffQueue, StaffTicket, Urgency } from "./events.js";
export type QueueRow = BoardQueue;
export type QueueState = BoardQueue["state"];
export type TicketState = State;

export interface ProblemBody {
  type?: string;
  title?: string;
  status: number;
  code: string;
  detail?: string;
  retryable?: boolean;
  [extra: string]: any;
}

export interface DeviceInfo {
  device: { id: number; name: string; kind: string; location_id: number; location: string };
  institution: { name: string; zone: string; languages: string[] };
  queues: { id: number; name: string; prefix: string; doctor: string | null }[];
  build?: string;
  server_time: string;
}

export interface TicketInfo {
  ticket: number;
  token: string;
  state: TicketState;
  queue: { id: number; name: string };
  location: string;
  institution: string;
  zone: string;
  languages: string[];
  stream: string;
  joined_at: string;
  desk: string | null;
  may_cancel: boolean;
  /** Why it ended, where it was not anybody's doing. */
  ended: "day-ended" | null;
  build?: string;
  server_time: string;
}

export interface QueueItem {
  id: number;
  name: string;
  location_id: number;
  location: string;
  institution_id: number;
  institution: string;
  doctor_id: number | null;
  doctor: string | null;
  state: QueueState;
  waiting: number;
  /** Whether the asker may work it. */
  serves?: boolean;
  desks: { id: number; name: string }[];
}

export interface User {
  id: number;
  name: string;
  email: string;
  role: string;
  institution_id: number | null;
  doctor_id: number | null;
  patient_id: number | null;
  second_factor?: boolean;
  owes_second_factor?: boolean;
}

export interface Stats {
  day: string;
  waiting: number;
  called: number;
  in_consultation: number;
  served: number;
  no_shows: number;
  wait_mean_s: number | null;
  wait_p90_s: number | null;
}

export interface QueueOverview {
  queue_id: number;
  name: string;
  department: string | null;
  state: QueueState;
  message: string | null;
  doctor_id: number | null;
  doctor: string | null;
  doctor_ids: number[];
  serves: boolean;
  desks: number;
  waiting: number;
  urgent: number;
  emergencies: number;
  called: number;
  in_consultation: number;
  on_hold: number;
  served: number;
  no_shows: number;
  cancelled: number;
  waiting_since: string | null;
  wait_mean_s: number | null;
  wait_p90_s: number | null;
}

/** A location's queues with their figures of the day. */
export interface Overview {
  location_id: number;
  location: string;
  institution: string;
  zone: string;
  languages: string[];
  day: string;
  server_time: string;
  queues: QueueOverview[];
}

export interface FoundPatient {
  id: number;
  number: string;
  name: string;
  phone: string | null;
  birth_date: string | null;
  birth_year: number | null;
  match: "name" | "phone" | "number" | "birth-date";
  score: number;
}

/** A ticket as it is printed, or shown on the screen. */
export interface Slip {
  ticket_id: number;
  token: string;
  institution: string;
  location: string;
  queue: string;
  joined_at: string;
  place: number | null;
  wait: [number, number] | null;
  link: string;
  qr_svg: string;
}

export type { AppointmentState, DoctorAppointment, LockedSlot, PatientAppointment, PatientTicket, PatientWait, Slot, StaffWait, WaitlistOffer } from "./events.js";
import type { AppointmentState } from "./events.js";

export type Mode = "in_person" | "online";
export type SlotMode = Mode | "both";

export interface CatalogueDoctor {
  id: number;
  name: string;
  specialty_id: number | null;
  fee: string | null;
  languages: string[];
  photo: string | null;
  location_ids: number[];
  visit_type_ids: number[];
  /** Whether a booking stands at once, and is no request. */
  confirms: boolean;
  /** How long before a visit a patient can still cancel or move it. */
  change_hours: number;
  /** Whether people may wait for time of theirs that is freed. */
  waitlist: boolean;
}

export interface CatalogueVisitType {
  id: number;
  name: string;
  minutes: number;
  fee: string | null;
  colour: string;
  mode: SlotMode;
}

/** What an institution offers to those who book. */
export interface Catalogue {
  institution: { id: number; name: string; zone: string; country: string | null; currency: string };
  specialties: { id: number; name: string }[];
  visit_types: CatalogueVisitType[];
  doctors: CatalogueDoctor[];
  locations: { id: number; name: string; zone: string; telephone: string | null }[];
}

export interface FreeTime {
  slot_ids: number[];
  doctor_id: number;
  location_id: number;
  starts_at: string;
  ends_at: string;
  mode: SlotMode;
  left: number;
  locked_until?: string | null;
}

export interface FreeTimes {
  items: FreeTime[];
  positions: Record<string, { epoch: string; version: number }>;
  next_cursor?: string | null;
  next?: string | null;
}

export interface SlotLock {
  token: string;
  slot_ids: number[];
  until: string;
  extended: boolean;
}

export interface Booked {
  appointment_id: number;
  number: string;
  state: AppointmentState;
  starts_at: string;
  ends_at: string;
  doctor_id: number | null;
  doctor_name: string | null;
  location_id: number;
  location_name: string;
  expires_at: string | null;
}

/** Where somebody stands among those who wait for the same. */
export interface Standing {
  position: number;
  /** How likely a time is offered to them, 0 to 1. */
  chance: number;
  /** Booked seats that would suit them. */
  seats: number;
  /** The share of such bookings that are given up. */
  given_up: number;
}
