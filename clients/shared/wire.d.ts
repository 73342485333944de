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
  build?: string;
  server_time: string;
}

export interface QueueItem {
  id: number;
  name: string;
  location_id: number;
  location: string;
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
