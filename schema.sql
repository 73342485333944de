-- Callboard's whole schema as it stands. Upgrades in server/upgrades/ add up to exactly this file.
-- Times are UTC; a clinic's local time exists only in its zone's name. PostgreSQL 15 or newer, no extensions.

-- Upgrades already applied, with the checksum that each file had.
create table upgrades (
    number      integer     primary key,
    name        text        not null,
    checksum    text        not null,
    applied_at  timestamptz not null default now()
);

-- Facts about this database itself. `origin` = 'up' marks one that `callboard up` made: only there may demo sign-ins exist.
create table facts (
    name   text primary key,
    value  text not null
);

create table institutions (
    id          bigint      generated always as identity primary key,
    name        text        not null,
    zone        text        not null default 'UTC',
    languages   text[]      not null default '{en}',
    settings    jsonb       not null default '{}',
    -- What holds for booking its doctors where they do not say otherwise.
    booking     jsonb       not null default '{}',
    -- After how many days what is known of patients is forgotten; nothing is, where nothing is said.
    retention   jsonb       not null default '{}',
    -- Where phone numbers without a prefix are from (ISO 3166), and what fees are in (ISO 4217).
    country     text,
    currency    text        not null default 'EUR',
    -- Staff without a second factor may do nothing but set one up.
    require_totp  boolean   not null default false,
    created_at  timestamptz not null default now(),
    -- Two tenants of one name would be told apart by nobody.
    constraint institutions_name_unique unique (name),
    constraint institutions_name_length check (char_length(name) between 1 and 200),
    constraint institutions_country_code check (country ~ '^[A-Z]{2}$'),
    constraint institutions_currency_code check (currency ~ '^[A-Z]{3}$'),
    -- Announcements are made in these, one after the other.
    constraint institutions_languages_some check (cardinality(languages) between 1 and 5)
);

create table locations (
    id              bigint      generated always as identity primary key,
    institution_id  bigint      not null references institutions,
    name            text        not null,
    -- The zone of its local days; null is the institution's.
    zone            text,
    settings        jsonb       not null default '{}',
    -- What the code is made of that is shown there, by which a patient proves to be there.
    arrival_secret  bytea       not null default uuid_send(gen_random_uuid()),
    created_at      timestamptz not null default now(),
    -- Closed for good: it is in no list, while what happened there keeps its name.
    retired_at      timestamptz,
    -- Whom patients call there, in E.164.
    phone           text,
    constraint locations_name_length check (char_length(name) between 1 and 200),
    constraint locations_phone_international check (phone ~ '^\+[1-9][0-9]{5,14}$'),
    -- Lets children hold (location, institution) together, so that no row can straddle two tenants.
    constraint locations_of_institution unique (id, institution_id)
);
-- Two branches of one name would be told apart by nobody.
create unique index locations_name_unique on locations (institution_id, name) where retired_at is null;

-- The room or counter that a patient is called to.
create table desks (
    id           bigint generated always as identity primary key,
    location_id  bigint not null references locations,
    name         text   not null,
    -- Taken down for good: nobody is called there again, while what happened there keeps its name.
    retired_at   timestamptz,
    constraint desks_name_length check (char_length(name) between 1 and 60),
    constraint desks_of_location unique (id, location_id)
);
-- A patient who is called to "Room 3" finds one Room 3.
create unique index desks_name_unique on desks (location_id, name) where retired_at is null;

create table specialties (
    id              bigint      generated always as identity primary key,
    institution_id  bigint      not null references institutions,
    name            text        not null,
    -- Offered no more, while what happened under it keeps its name.
    retired_at      timestamptz,
    constraint specialties_name_length check (char_length(name) between 1 and 60),
    constraint specialties_of_institution unique (id, institution_id)
);
-- A patient who looks for cardiology finds one cardiology.
create unique index specialties_name_unique on specialties (institution_id, lower(name)) where retired_at is null;

-- What a visit is for: how long it takes, what it costs, and whether one has to come for it.
create table visit_types (
    id              bigint         generated always as identity primary key,
    institution_id  bigint         not null references institutions,
    name            text           not null,
    minutes         smallint       not null,
    -- Null: the doctor's own.
    fee             numeric(10, 2),
    colour          text           not null default '#3d6fd1',
    mode            text           not null default 'both',
    retired_at      timestamptz,
    constraint visit_types_name_length check (char_length(name) between 1 and 60),
    constraint visit_types_minutes_sane check (minutes between 5 and 720),
    constraint visit_types_fee_sane check (fee >= 0),
    constraint visit_types_colour_code check (colour ~ '^#[0-9a-f]{6}$'),
    constraint visit_types_mode_known check (mode in ('in_person', 'online', 'both')),
    constraint visit_types_of_institution unique (id, institution_id)
);
create unique index visit_types_name_unique on visit_types (institution_id, lower(name)) where retired_at is null;

create table doctors (
    id              bigint         generated always as identity primary key,
    institution_id  bigint         not null references institutions,
    name            text           not null,
    specialty_id    bigint,
    licence         text,
    fee             numeric(10, 2),
    -- Those spoken with patients.
    languages       text[]         not null default '{}',
    -- Whether appointments can be made with them at all.
    active          boolean        not null default true,
    -- What is set for booking this doctor alone.
    booking         jsonb          not null default '{}',
    created_at      timestamptz    not null default now(),
    constraint doctors_name_length check (char_length(name) between 1 and 200),
    constraint doctors_licence_length check (char_length(licence) between 1 and 60),
    constraint doctors_fee_sane check (fee >= 0),
    constraint doctors_of_institution unique (id, institution_id),
    constraint doctors_specialty_same_institution foreign key (specialty_id, institution_id) references specialties (id, institution_id)
);
-- A licence is one person's.
create unique index doctors_licence_unique on doctors (institution_id, lower(licence));
create index doctors_by_specialty on doctors (specialty_id) where active;

create table doctor_photos (
    doctor_id  bigint primary key references doctors,
    kind       text   not null,
    content    bytea  not null,
    -- Part of its address: a new photo is asked for anew.
    taken_at   timestamptz not null,
    constraint doctor_photos_kind_known check (kind in ('image/png', 'image/jpeg', 'image/webp')),
    constraint doctor_photos_size check (octet_length(content) <= 512 * 1024)
);

-- Where a doctor works.
create table doctor_locations (
    doctor_id       bigint not null,
    location_id     bigint not null,
    institution_id  bigint not null,
    primary key (doctor_id, location_id),
    constraint doctor_locations_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id),
    constraint doctor_locations_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id)
);

-- The visit types that a doctor takes; without a row, all of the institution.
create table doctor_visit_types (
    doctor_id       bigint not null,
    visit_type_id   bigint not null,
    institution_id  bigint not null,
    primary key (doctor_id, visit_type_id),
    constraint doctor_visit_types_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id),
    constraint doctor_visit_types_type_same_institution foreign key (visit_type_id, institution_id) references visit_types (id, institution_id)
);

create table patients (
    id              bigint      generated always as identity primary key,
    institution_id  bigint      not null references institutions,
    -- What is on the patient's card: P000001.
    number          text        collate "C" not null,
    name            text        not null,
    phone           text,
    birth_date      date,
    -- Known of more people than the date; that of the date, where there is one.
    birth_year      smallint,
    gender          text,
    email           text,
    address         text,
    -- {name, phone, relation}
    emergency_contact  jsonb,
    -- {insurer, policy, verified}
    insurance       jsonb,
    -- Medical history: for the treating side alone.
    medical_notes   text,
    -- How they want to be spoken to and reached.
    language        text,
    channels        text[]      not null default '{}',
    requirements    text[]      not null default '{}',
    -- Proved to be somebody who is registered: everything of theirs has gone over.
    merged_into     bigint      references patients,
    merged_at       timestamptz,
    -- Since when nothing is known of them any more but that there was somebody.
    anonymised_at   timestamptz,
    -- What the record is found by: see server/patients/spelling.py.
    found_by        text[]      collate "C" not null default '{}',
    created_at      timestamptz not null default now(),
    -- A card's number is one person's.
    constraint patients_number_unique unique (institution_id, number),
    constraint patients_name_length check (char_length(name) between 1 and 200),
    constraint patients_phone_length check (char_length(phone) between 3 and 40),
    constraint patients_birth_year_sane check (birth_year between 1850 and 2200),
    -- Two births of one person would be found under neither.
    constraint patients_birth_agrees check (birth_date is null or (birth_year is not null and birth_year = extract(year from birth_date))),
    constraint patients_gender_known check (gender in ('female', 'male', 'diverse', 'unstated')),
    constraint patients_email_length check (char_length(email) between 3 and 254),
    constraint patients_merged_into_another check (merged_into <> id),
    constraint patients_of_institution unique (id, institution_id)
);
-- Without `fastupdate`, whose list of what is not indexed yet every search would read from end to end.
create index patients_by_key on patients using gin (found_by) with (fastupdate = off);
-- Its commonest keys would make the planner read the whole table, which is never faster here.
alter table patients alter column found_by set statistics 0;
create index patients_by_phone on patients (institution_id, phone) where merged_into is null;
create index patients_by_email on patients (lower(email)) where merged_into is null;
create index patients_to_anonymise on patients (institution_id, id) where anonymised_at is null;
create index patients_by_birth on patients (institution_id, birth_year, birth_date);

-- The last number given to a patient of each institution.
create table patient_numbers (
    institution_id  bigint  primary key references institutions,
    last            bigint  not null
);

-- Every patient gets the institution's next number, by whichever way the record is made.
create function number_patient() returns trigger language plpgsql as $$
begin
    insert into patient_numbers as n (institution_id, last) values (new.institution_id, 1)
    on conflict (institution_id) do update set last = n.last + 1
    returning 'P' || lpad(last::text, greatest(6, length(last::text)), '0') into new.number;
    return new;
end $$;
create trigger patients_numbered before insert on patients
    for each row when (new.number is null) execute function number_patient();

create table users (
    id              bigint      generated always as identity primary key,
    institution_id  bigint      references institutions,
    -- Null of patients who sign in by codes sent to what their record says.
    email           text,
    name            text        not null,
    role            text        not null,
    -- Null until the invitation is accepted: nobody signs in.
    password_hash   text,
    doctor_id       bigint      references doctors,
    patient_id      bigint      references patients,
    active          boolean     not null default true,
    demo            boolean     not null default false,
    created_at      timestamptz not null default now(),
    -- One sign-in opens one account; addresses are stored in lower case.
    constraint users_email_unique unique (email),
    constraint users_email_lower check (email = lower(email)),
    constraint users_role_known check (role in ('patient', 'doctor', 'receptionist', 'admin', 'super_admin')),
    -- Only a super_admin stands above the institutions; everybody else belongs to exactly one.
    constraint users_institution_by_role check ((role = 'super_admin') = (institution_id is null)),
    constraint users_doctor_by_role check ((role = 'doctor') = (doctor_id is not null)),
    constraint users_patient_by_role check ((role = 'patient') = (patient_id is not null)),
    constraint users_email_by_role check (role = 'patient' or email is not null),
    -- What a patient may see, they see in one account.
    constraint users_patient_unique unique (patient_id),
    constraint users_of_institution unique (id, institution_id),
    constraint users_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id),
    constraint users_patient_same_institution foreign key (patient_id, institution_id) references patients (id, institution_id)
);

-- Demo passwords are public, so a database that `callboard up` did not make must never hold one.
create function refuse_demo_users() returns trigger language plpgsql as $$
begin
    if new.demo and not exists (select from facts where name = 'origin' and value = 'up') then
        raise exception 'demo sign-ins exist only in a database that "callboard up" made'
            using errcode = 'check_violation', constraint = 'users_demo_only_in_up';
    end if;
    return new;
end $$;
create trigger users_demo_only_in_up before insert or update of demo on users
    for each row when (new.demo) execute function refuse_demo_users();

-- A session's token is known only to its holder; here is its SHA-256.
create table sessions (
    id            bigint      generated always as identity primary key,
    user_id       bigint      not null references users,
    token_hash    bytea       not null,
    csrf          text        not null,
    created_at    timestamptz not null default now(),
    expires_at    timestamptz not null,
    revoked_at    timestamptz,
    -- From where it was opened, for its owner to recognise.
    address       text,
    agent         text,
    constraint sessions_token_unique unique (token_hash)
);
create index sessions_by_user on sessions (user_id) where revoked_at is null;
create index sessions_by_expiry on sessions (expires_at);

-- The locations that a doctor or receptionist is limited to; without a row, all of the institution.
create table user_locations (
    user_id         bigint  not null,
    institution_id  bigint  not null,
    location_id     bigint  not null,
    primary key (user_id, location_id),
    constraint user_locations_user_same_institution foreign key (user_id, institution_id) references users (id, institution_id),
    constraint user_locations_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id)
);

-- A link that lets somebody set their password, once; the secret is known only to its receiver, here is its SHA-256.
create table invitations (
    id           bigint      generated always as identity primary key,
    user_id      bigint      not null references users,
    secret_hash  bytea       not null,
    created_at   timestamptz not null,
    expires_at   timestamptz not null,
    -- Accepted, or replaced by a later one.
    ended_at     timestamptz,
    constraint invitations_secret_unique unique (secret_hash)
);
-- A person's latest link is their only one.
create unique index invitations_one_open on invitations (user_id) where ended_at is null;

-- The second factor of a sign-in (RFC 6238). It counts once `confirmed_at` is set.
create table second_factors (
    user_id       bigint      primary key references users,
    -- 20 bytes, or masked with the deployment's secret key where it has one.
    secret        bytea       not null,
    confirmed_at  timestamptz,
    -- The time step of the last code taken: no code is taken twice.
    last_step     bigint      not null default 0,
    -- Wrong codes since the last right one, and when the last of them came.
    failures      integer     not null default 0,
    failed_at     timestamptz
);

-- Codes that stand in for a lost phone, each once; here are their SHA-256.
create table recovery_codes (
    user_id    bigint      not null references second_factors on delete cascade,
    code_hash  bytea       not null,
    used_at    timestamptz,
    primary key (user_id, code_hash)
);

-- A one-time code proves that somebody reads what is sent to a telephone or an e-mail address; here is only its hash.
create table sign_in_codes (
    id          bigint      generated always as identity primary key,
    contact     text        not null,
    salt        bytea       not null,
    code_hash   bytea       not null,
    -- Where it was asked for: an address, or the network of an IPv6 address.
    network     text        not null,
    created_at  timestamptz not null,
    expires_at  timestamptz not null,
    tries       smallint    not null default 0,
    -- Used, or one of a contact whose other code was.
    ended_at    timestamptz,
    -- Six digits are guessed by whoever may try often.
    constraint sign_in_codes_tries_few check (tries between 0 and 5),
    constraint sign_in_codes_contact_length check (char_length(contact) between 3 and 254)
);
create index sign_in_codes_by_contact on sign_in_codes (contact, created_at);
create index sign_in_codes_by_network on sign_in_codes (network, created_at);
create index sign_in_codes_by_age on sign_in_codes (created_at);

-- Enrolled boards and kiosks. The credential is known only to the screen; here is its SHA-256.
create table devices (
    id               bigint      generated always as identity primary key,
    institution_id   bigint      not null references institutions,
    location_id      bigint      not null,
    kind             text        not null default 'board',
    name             text        not null,
    credential_hash  bytea       not null,
    enrolled_at      timestamptz not null default now(),
    revoked_at       timestamptz,
    -- Noted once a minute while it is connected: its last sign of life, the build of its page, and the version of
    -- each queue's board stream that it said it had shown.
    seen_at          timestamptz,
    build            text,
    shown            jsonb       not null default '{}',
    constraint devices_credential_unique unique (credential_hash),
    constraint devices_kind_known check (kind in ('board', 'kiosk')),
    constraint devices_name_length check (char_length(name) between 1 and 60),
    constraint devices_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id)
);
create index devices_by_location on devices (location_id) where revoked_at is null;

-- A screen that waits to be enrolled shows `code`; its secret (here the SHA-256) fetches the credential once.
create table pairings (
    id           bigint      generated always as identity primary key,
    code         text        not null,
    secret_hash  bytea       not null,
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null,
    device_id    bigint      references devices,
    constraint pairings_secret_unique unique (secret_hash)
);
-- Two screens never show the same code at the same time.
create unique index pairings_code_unique on pairings (code) where device_id is null;
create index pairings_by_expiry on pairings (expires_at);

create table queues (
    id              bigint           generated always as identity primary key,
    institution_id  bigint           not null references institutions,
    location_id     bigint           not null,
    -- The owner; null is a pool that several doctors serve.
    doctor_id       bigint,
    name            text             not null,
    -- The part of the house that it belongs to, for reception to look at alone.
    department      text,
    settings        jsonb            not null default '{}',
    state           text             not null default 'open',
    message         text,
    -- When its last pause ended: nobody could be called before.
    resumed_at      timestamptz,
    -- Tokens count from 1 on each local day.
    token_day       date,
    token_last      integer          not null default 0,
    -- What the wait estimate has learnt of this queue, and what it last told: [[p50, p90] in seconds by place].
    pace            jsonb            not null default '{}',
    waits           jsonb            not null default '[]',
    waits_at        timestamptz      not null default now(),
    -- How many desks were busy, of how many: while that holds, waits of the last second are kept.
    waits_basis     text             not null default '',
    created_at      timestamptz      not null default now(),
    -- Closed for good: it is in no list and on no board, while its tickets keep it.
    retired_at      timestamptz,
    constraint queues_name_length check (char_length(name) between 1 and 60),
    constraint queues_department_length check (char_length(department) between 1 and 60),
    constraint queues_state_known check (state in ('open', 'paused', 'closed')),
    constraint queues_message_length check (char_length(message) <= 200),
    constraint queues_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id),
    constraint queues_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id),
    constraint queues_of_institution unique (id, institution_id)
);
create index queues_by_location on queues (location_id);
-- People are sent to a queue by its name.
create unique index queues_name_unique on queues (location_id, name) where retired_at is null;

-- The doctors who may serve a queue; an owner has a row as well.
create table queue_doctors (
    queue_id   bigint not null references queues,
    doctor_id  bigint not null references doctors,
    primary key (queue_id, doctor_id)
);
create index queue_doctors_by_doctor on queue_doctors (doctor_id);

-- Who serves a queue from which desk now: a row appears with a desk's call and goes when the desk has been idle.
create table serving (
    queue_id     bigint      not null references queues,
    desk_id      bigint      not null references desks,
    doctor_id    bigint      references doctors,
    -- When this desk last called somebody and was last free again: the wait estimate learns from the gaps.
    called_at    timestamptz not null,
    freed_at     timestamptz,
    primary key (queue_id, desk_id)
);

-- One patient waiting in one queue.
create table tickets (
    id              bigint           generated always as identity primary key,
    institution_id  bigint           not null,
    queue_id        bigint           not null,
    patient_id      bigint           not null,
    day             date             not null,
    token           text             not null,
    -- The link's secret is known only to the patient; here is its SHA-256. A transfer hands it on to the new ticket.
    secret_hash     bytea,
    -- The first ticket of a chain of transfers; null for a first one.
    origin_id       bigint           references tickets,
    transferred_to  bigint           references tickets,
    state           text             not null default 'waiting',
    urgency         text             not null default 'routine',
    reason          text,
    requirements    text[]           not null default '{}',
    joined_at       timestamptz      not null,
    -- When its appointment is; null for who came without one.
    booked_for      timestamptz,
    -- Since when it could have been called without a break: it joined, came back, or came off hold.
    waiting_since   timestamptz      not null,
    -- The order is `rank`, which tells nothing but order. A ticket finds its rank by `band` (0: emergencies) and `key`
    -- (minutes), which never decrease along the ranks of those waiting.
    band            smallint         not null,
    key             double precision not null,
    rank            double precision not null,
    -- Why it stands where it stands: [{code, detail}], and the factors of a score.
    order_reasons   jsonb            not null default '[]',
    score           jsonb,
    calls           integer          not null default 0,
    call_version    bigint,
    desk_id         bigint           references desks,
    doctor_id       bigint           references doctors,
    called_at       timestamptz,
    started_at      timestamptz,
    ended_at        timestamptz,
    -- The step that an undo would take back: its name and the values before it.
    undo            jsonb,
    -- What was written down about it is forgotten, by the institution's retention.
    forgotten_at    timestamptz,
    constraint tickets_state_known check (state in
        ('waiting', 'called', 'in_consultation', 'on_hold', 'completed', 'no_show', 'transferred', 'cancelled')),
    constraint tickets_urgency_known check (urgency in ('routine', 'urgent', 'emergency')),
    -- An emergency, and nothing else, stands in band 0.
    constraint tickets_emergency_first check ((urgency = 'emergency') = (band = 0)),
    constraint tickets_token_unique unique (queue_id, day, token),
    constraint tickets_secret_unique unique (secret_hash),
    constraint tickets_called_has_desk check (state not in ('called', 'in_consultation') or (desk_id is not null and called_at is not null)),
    constraint tickets_reason_length check (char_length(reason) <= 500),
    constraint tickets_queue_same_institution foreign key (queue_id, institution_id) references queues (id, institution_id),
    constraint tickets_patient_same_institution foreign key (patient_id, institution_id) references patients (id, institution_id)
);
-- A patient stands in one queue once.
create unique index tickets_one_active_per_patient on tickets (queue_id, patient_id)
    where state in ('waiting', 'called', 'in_consultation', 'on_hold');
-- One desk has one patient at a time, whatever the consoles do and whichever queues it serves.
create unique index tickets_one_patient_per_desk on tickets (desk_id) where state in ('called', 'in_consultation');
create index tickets_waiting on tickets (queue_id, rank) where state = 'waiting';
create index tickets_waiting_by_key on tickets (queue_id, band, key, rank) where state = 'waiting';
create index tickets_waiting_by_arrival on tickets (queue_id, joined_at) where state = 'waiting';
create index tickets_active on tickets (queue_id) where state in ('waiting', 'called', 'in_consultation', 'on_hold');
create index tickets_to_forget on tickets (institution_id, ended_at) where ended_at is not null and forgotten_at is null;
create index tickets_by_day on tickets (queue_id, day);
create index tickets_by_patient on tickets (patient_id);

-- Every departure from arrival order, and every decision a person took about a ticket, with its reason.
create table decisions (
    id         bigint      generated always as identity primary key,
    ticket_id  bigint      not null references tickets,
    queue_id   bigint      not null references queues,
    at         timestamptz not null,
    actor      text        not null,
    kind       text        not null,
    reason     text,
    -- What the decision saw: who was passed over, the score's factors, the place asked for.
    facts      jsonb       not null default '{}'
);
create index decisions_by_ticket on decisions (ticket_id, id);

-- When a doctor works at a location, week by week, in the location's local time. Of several of one doctor and location
-- the one that began last holds.
create table schedules (
    id              bigint      generated always as identity primary key,
    institution_id  bigint      not null,
    doctor_id       bigint      not null,
    location_id     bigint      not null,
    starts_on       date        not null,
    ends_on         date,
    -- Every so many weeks, counted from the week of `starts_on`.
    every_weeks     smallint    not null default 1,
    -- [{weekday, starts, ends, slot_minutes, buffer_minutes, capacity, mode, breaks: [{starts, ends}]}]
    week            jsonb       not null,
    -- Slots exist for the days before this one: a day's slots are made once, so what was removed stays removed.
    made_until      date,
    created_at      timestamptz not null default now(),
    constraint schedules_dates_in_order check (ends_on >= starts_on),
    constraint schedules_every_sane check (every_weeks between 1 and 8),
    -- Two that began on one day would both hold, or neither.
    constraint schedules_start_unique unique (doctor_id, location_id, starts_on),
    constraint schedules_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id),
    constraint schedules_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id)
);

-- Time in which a doctor, a location or, with neither, the whole institution takes nobody.
create table blocks (
    id              bigint      generated always as identity primary key,
    institution_id  bigint      not null references institutions,
    doctor_id       bigint,
    location_id     bigint,
    kind            text        not null,
    reason          text,
    starts_at       timestamptz not null,
    ends_at         timestamptz not null,
    -- Entered as days: shown without hours.
    whole_days      boolean     not null default false,
    created_at      timestamptz not null default now(),
    -- Taken back.
    ended_at        timestamptz,
    constraint blocks_kind_known check (kind in ('leave', 'holiday', 'emergency', 'other')),
    constraint blocks_times_in_order check (ends_at > starts_at),
    constraint blocks_reason_length check (char_length(reason) <= 500),
    constraint blocks_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id),
    constraint blocks_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id)
);
create index blocks_in_force on blocks (institution_id, ends_at) where ended_at is null;

-- Time of a doctor that can be booked: by as many as it has seats.
create table slots (
    id              bigint      generated always as identity primary key,
    institution_id  bigint      not null,
    doctor_id       bigint      not null,
    location_id     bigint      not null,
    starts_at       timestamptz not null,
    ends_at         timestamptz not null,
    during          tstzrange   not null generated always as (tstzrange(starts_at, ends_at)) stored,
    capacity        smallint    not null default 1,
    -- How many of its seats are taken; the trigger `seats_counted` alone writes it.
    taken           smallint    not null default 0,
    mode            text        not null default 'both',
    open            boolean     not null default true,
    -- The blocked period that it lies in, one of them if there are several.
    block_id        bigint      references blocks,
    -- The schedule that it was made from; null where it was added by hand.
    schedule_id     bigint      references schedules on delete set null,
    -- Past for a while: no stream shows it any more.
    filed_at        timestamptz,
    -- A doctor is with one slot's patients at a time.
    constraint slots_never_overlap exclude using gist (int8range(doctor_id, doctor_id, '[]') with &&, during with &&),
    constraint slots_capacity_sane check (capacity between 1 and 100),
    constraint slots_taken_within_capacity check (taken between 0 and capacity),
    constraint slots_span_sane check (ends_at > starts_at and ends_at <= starts_at + interval '12 hours'),
    constraint slots_mode_known check (mode in ('in_person', 'online', 'both')),
    constraint slots_of_capacity unique (id, capacity),
    constraint slots_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id),
    constraint slots_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id)
);
create index slots_free on slots (doctor_id, starts_at) where open and block_id is null and taken < capacity;
create index slots_by_time on slots (doctor_id, starts_at);
create index slots_to_file on slots (ends_at) where filed_at is null;
create index slots_by_block on slots (block_id) where block_id is not null;
create index slots_by_schedule on slots (schedule_id, starts_at) where schedule_id is not null;

-- The unit of care. A scheduled one holds seats; a walk-in has a ticket from the beginning.
create table appointments (
    id                  bigint      generated always as identity primary key,
    institution_id      bigint      not null,
    number              text        collate "C" not null,
    kind                text        not null,
    patient_id          bigint      not null,
    -- Null while nobody has accepted a request to any doctor of the specialty, and of a pool's walk-in.
    doctor_id           bigint,
    specialty_id        bigint,
    location_id         bigint      not null,
    visit_type_id       bigint,
    mode                text        not null default 'in_person',
    state               text        not null,
    starts_at           timestamptz not null,
    -- Null of a walk-in, whose end nobody knows.
    ends_at             timestamptz,
    during              tstzrange   not null generated always as (tstzrange(starts_at, ends_at)) stored,
    reason              text,
    symptoms            text,
    urgency             text        not null default 'routine',
    requirements        text[]      not null default '{}',
    source              text        not null,
    -- What it is called where it came from: an import that runs twice finds what it has brought.
    reference           text        collate "C",
    -- Made although the patient is elsewhere at that time: staff said so.
    insisted            boolean     not null default false,
    fee                 numeric(10, 2),
    currency            text,
    payment             text        not null default 'unpaid',
    insurance           jsonb,
    insurance_verified  boolean     not null default false,
    -- It began as a request, which holds its seat until then.
    expires_at          timestamptz,
    -- Until when the patient may cancel or move it, by the terms at the time of booking.
    change_until        timestamptz,
    answered_at         timestamptz,
    answer_reason       text,
    rescheduled_from    bigint      references appointments,
    rescheduled_to      bigint      references appointments,
    cancelled_by        text,
    cancel_reason       text,
    -- Staff cancelled or moved it though the deadline had passed.
    overridden          boolean     not null default false,
    ticket_id           bigint      references tickets,
    checked_in_at       timestamptz,
    -- Wrong codes that its patient gave of the place: after a few, the desk checks them in.
    wrong_codes         smallint    not null default 0,
    started_at          timestamptz,
    ended_at            timestamptz,
    -- The step that an undo would take back: its name and the values before it.
    undo                jsonb,
    created_at          timestamptz not null,
    created_by          text        not null,
    -- Over for a while: no stream shows it any more, lists and searches do.
    filed_at            timestamptz,
    -- What was written down about it is forgotten, by the institution's retention.
    forgotten_at        timestamptz,
    -- What stands on a patient's letter is one appointment's.
    constraint appointments_number_unique unique (institution_id, number),
    -- What came from elsewhere came once.
    constraint appointments_reference_unique unique (institution_id, reference),
    constraint appointments_reference_length check (char_length(reference) between 1 and 200),
    -- Nobody is in two places at once, unless staff insist.
    constraint appointments_one_place_at_a_time exclude using gist (int8range(patient_id, patient_id, '[]') with &&, during with &&)
        where (kind = 'scheduled' and state in ('pending', 'confirmed', 'checked_in', 'in_progress') and not insisted),
    -- A ticket is one visit's.
    constraint appointments_ticket_unique unique (ticket_id),
    constraint appointments_kind_known check (kind in ('scheduled', 'walk_in')),
    constraint appointments_state_known check (state in ('pending', 'confirmed', 'rejected', 'checked_in', 'in_progress',
        'completed', 'cancelled', 'no_show', 'rescheduled')),
    constraint appointments_end_of_scheduled check (kind = 'walk_in' or (ends_at is not null and ends_at > starts_at)),
    constraint appointments_walk_in_has_ticket check (kind = 'scheduled' or ticket_id is not null),
    constraint appointments_doctor_once_confirmed check (doctor_id is not null or kind = 'walk_in' or state in ('pending', 'rejected', 'cancelled', 'rescheduled')),
    constraint appointments_mode_known check (mode in ('in_person', 'online')),
    constraint appointments_urgency_known check (urgency in ('routine', 'urgent', 'emergency')),
    constraint appointments_source_known check (source in ('online', 'reception', 'kiosk', 'phone', 'import')),
    constraint appointments_payment_known check (payment in ('unpaid', 'paid', 'waived', 'refunded')),
    constraint appointments_cancelled_by_known check (cancelled_by in ('patient', 'staff', 'system')),
    constraint appointments_reason_length check (char_length(reason) <= 500),
    constraint appointments_symptoms_length check (char_length(symptoms) <= 2000),
    constraint appointments_of_institution unique (id, institution_id),
    constraint appointments_patient_same_institution foreign key (patient_id, institution_id) references patients (id, institution_id),
    constraint appointments_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id),
    constraint appointments_specialty_same_institution foreign key (specialty_id, institution_id) references specialties (id, institution_id),
    constraint appointments_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id),
    constraint appointments_visit_type_same_institution foreign key (visit_type_id, institution_id) references visit_types (id, institution_id)
);
create index appointments_by_time on appointments (institution_id, starts_at, id);
create index appointments_by_doctor on appointments (doctor_id, starts_at, id);
create index appointments_by_patient on appointments (patient_id, starts_at, id);
create index appointments_unattended on appointments (doctor_id, starts_at)
    where kind = 'scheduled' and state = 'confirmed' and ticket_id is null;
create index appointments_pending on appointments (expires_at) where state = 'pending';
create index appointments_listed on appointments (doctor_id) where filed_at is null;
create index appointments_to_forget on appointments (institution_id, starts_at) where filed_at is not null and forgotten_at is null;
create index appointments_to_file on appointments (ended_at) where filed_at is null and ended_at is not null;

-- Somebody who waits for time that is not free: with a doctor, with any doctor of a specialty, or for a kind of visit.
create table waitlist (
    id               bigint      generated always as identity primary key,
    institution_id   bigint      not null,
    patient_id       bigint      not null,
    doctor_id        bigint,
    specialty_id     bigint,
    visit_type_id    bigint,
    location_id      bigint,
    mode             text        not null default 'both',
    -- Local days of the place, both included; and the parts of those days, none given for any.
    first_day        date        not null,
    last_day         date        not null,
    parts            text[]      not null default '{}',
    -- Ten goes first; among equals, who joined first.
    priority         smallint    not null default 5,
    priority_reason  text,
    state            text        not null default 'waiting',
    joined_at        timestamptz not null,
    created_by       text        not null,
    ended_at         timestamptz,
    -- What came of it.
    appointment_id   bigint      references appointments,
    -- Time may have become theirs where nobody could give it to them at once: it is looked for from then on.
    look_at          timestamptz,
    -- What was written down about it is forgotten.
    forgotten        boolean     not null default false,
    constraint waitlist_for_something check (num_nonnulls(doctor_id, specialty_id, visit_type_id) >= 1),
    constraint waitlist_mode_known check (mode in ('in_person', 'online', 'both')),
    constraint waitlist_days_in_order check (last_day >= first_day),
    constraint waitlist_parts_known check (parts <@ array['morning', 'afternoon', 'evening']),
    constraint waitlist_priority_sane check (priority between 1 and 10),
    constraint waitlist_state_known check (state in ('waiting', 'offered', 'booked', 'left', 'over')),
    constraint waitlist_ended_at_some_time check ((state in ('waiting', 'offered')) = (ended_at is null)),
    constraint waitlist_reason_length check (char_length(priority_reason) <= 500),
    constraint waitlist_of_institution unique (id, institution_id),
    constraint waitlist_patient_same_institution foreign key (patient_id, institution_id) references patients (id, institution_id),
    constraint waitlist_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id),
    constraint waitlist_specialty_same_institution foreign key (specialty_id, institution_id) references specialties (id, institution_id),
    constraint waitlist_visit_type_same_institution foreign key (visit_type_id, institution_id) references visit_types (id, institution_id),
    constraint waitlist_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id)
);
create index waitlist_in_line on waitlist (institution_id, priority desc, joined_at, id) where state in ('waiting', 'offered');
create index waitlist_by_patient on waitlist (patient_id, id);
create index waitlist_by_appointment on waitlist (appointment_id) where appointment_id is not null;
create index waitlist_to_look on waitlist (look_at) where look_at is not null;
create index waitlist_to_forget on waitlist (institution_id, ended_at) where ended_at is not null and not forgotten;
create index waitlist_to_end on waitlist (last_day) where state = 'waiting';

-- A freed time that is held for somebody on the waitlist until they answer: its seats are taken by it, as by a booking.
create table offers (
    id              bigint      generated always as identity primary key,
    institution_id  bigint      not null,
    entry_id        bigint      not null,
    doctor_id       bigint      not null,
    location_id     bigint      not null,
    slot_ids        bigint[]    not null,
    mode            text        not null,
    starts_at       timestamptz not null,
    ends_at         timestamptz not null,
    state           text        not null default 'open',
    offered_at      timestamptz not null,
    expires_at      timestamptz not null,
    ended_at        timestamptz,
    -- Why it was made to them: [{code, …}].
    reasons         jsonb       not null default '[]',
    -- The link that answers it by one tap is known only to the patient; here is its SHA-256.
    secret_hash     bytea,
    constraint offers_mode_known check (mode in ('in_person', 'online')),
    constraint offers_times_in_order check (ends_at > starts_at and expires_at > offered_at and expires_at <= starts_at),
    constraint offers_state_known check (state in ('open', 'accepted', 'declined', 'expired', 'withdrawn')),
    constraint offers_ended_at_some_time check ((state = 'open') = (ended_at is null)),
    constraint offers_slots_some check (cardinality(slot_ids) >= 1),
    constraint offers_secret_unique unique (secret_hash),
    constraint offers_entry_same_institution foreign key (entry_id, institution_id) references waitlist (id, institution_id),
    constraint offers_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id),
    constraint offers_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id)
);
-- Whoever waits for one time is offered one time.
create unique index offers_one_open_per_entry on offers (entry_id) where state = 'open';
create index offers_due on offers (expires_at) where state = 'open';
create index offers_by_entry on offers (entry_id, id);

-- A seat of a slot is taken once, by whatever takes it: a request, an appointment, an offer to the waitlist.
create table seats (
    slot_id         bigint   not null,
    number          smallint not null,
    capacity        smallint not null,
    appointment_id  bigint   references appointments,
    offer_id        bigint   references offers,
    primary key (slot_id, number),
    -- It is a booking's or an offer's, and goes from one to the other without being free in between.
    constraint seats_taken_by_one check (num_nonnulls(appointment_id, offer_id) = 1),
    -- There are as many seats as the slot has, also when its capacity is lowered later.
    constraint seats_within_capacity check (number between 1 and capacity),
    constraint seats_of_slot foreign key (slot_id, capacity) references slots (id, capacity) on update cascade
);
create index seats_by_appointment on seats (appointment_id);
create index seats_by_offer on seats (offer_id) where offer_id is not null;

create function count_seats() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        update slots set taken = taken + 1 where id = new.slot_id;
    elsif tg_op = 'DELETE' then
        update slots set taken = taken - 1 where id = old.slot_id;
    end if;
    return null;
end $$;
create trigger seats_counted after insert or delete on seats for each row execute function count_seats();

-- The doctors whom a request concerns, and what each answered.
create table appointment_doctors (
    appointment_id  bigint      not null references appointments,
    doctor_id       bigint      not null references doctors,
    answer          text,
    reason          text,
    answered_at     timestamptz,
    primary key (appointment_id, doctor_id),
    constraint appointment_doctors_answer_known check (answer in ('accepted', 'rejected'))
);
create index appointment_doctors_by_doctor on appointment_doctors (doctor_id);

-- What the treating side wrote: every version stays.
create table appointment_notes (
    appointment_id  bigint      not null references appointments,
    kind            text        not null,
    version         integer     not null,
    content         text        not null,
    written_by      text        not null,
    at              timestamptz not null,
    primary key (appointment_id, kind, version),
    constraint appointment_notes_kind_known check (kind in ('note', 'diagnosis', 'prescription')),
    constraint appointment_notes_length check (char_length(content) <= 20000)
);

-- The last number given of each kind on an institution's local day: numbers have no gaps, so nothing can vanish unseen.
create table appointment_numbers (
    institution_id  bigint  not null references institutions,
    kind            text    not null,
    day             date    not null,
    last            integer not null,
    primary key (institution_id, kind, day)
);

-- Somebody needs help at once. It is told to ever more people until one acknowledges it.
create table emergencies (
    id               bigint      generated always as identity primary key,
    institution_id   bigint      not null,
    location_id      bigint      not null,
    specialty_id     bigint,
    patient_id       bigint,
    reason           text        not null,
    raised_by        text        not null,
    raised_at        timestamptz not null,
    -- Who has been told: 0 the doctors on duty of the specialty, 1 every doctor on duty there, 2 all who work there.
    level            smallint    not null default 0,
    escalates_at     timestamptz,
    acknowledged_by  text,
    acknowledged_at  timestamptz,
    ended_at         timestamptz,
    constraint emergencies_reason_length check (char_length(reason) between 1 and 500),
    constraint emergencies_level_known check (level between 0 and 2),
    constraint emergencies_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id),
    constraint emergencies_specialty_same_institution foreign key (specialty_id, institution_id) references specialties (id, institution_id),
    constraint emergencies_patient_same_institution foreign key (patient_id, institution_id) references patients (id, institution_id)
);
create index emergencies_to_forget on emergencies (institution_id, raised_at) where ended_at is not null and reason <> '-';
create index emergencies_waiting on emergencies (escalates_at) where acknowledged_at is null and ended_at is null;

-- The doctors whom an emergency has been told to.
create table emergency_doctors (
    emergency_id  bigint not null references emergencies,
    doctor_id     bigint not null references doctors,
    primary key (emergency_id, doctor_id)
);
create index emergency_doctors_by_doctor on emergency_doctors (doctor_id);

-- One message to one person over one channel. It is written with the change that caused it and sent by the worker.
create table notices (
    id              bigint      generated always as identity primary key,
    -- Null of what no institution sends, such as a sign-in code.
    institution_id  bigint      references institutions,
    kind            text        not null,
    -- What made it: `appointment:5/confirmed`.
    cause           text        not null,
    -- Whom it is for: `patient:7`, `user:3`, or the very address where nobody is known by it.
    person          text        not null,
    channel         text        not null,
    patient_id      bigint,
    appointment_id  bigint,
    -- Null: what the person's record says when it is sent.
    recipient       text,
    language        text,
    -- What its text is filled in with; nothing clinical.
    facts           jsonb       not null default '{}',
    -- A code or link that opens something, masked; taken away once it is sent.
    secret          bytea,
    state           text        not null default 'pending',
    -- When it should be there, and when it is tried next: a claim moves that on, so what a dead worker held comes up again.
    due_at          timestamptz not null,
    try_at          timestamptz not null,
    -- It says nothing new after that.
    worthless_at    timestamptz,
    attempts        smallint    not null default 0,
    -- Tries before somebody had it sent once more: they do not count.
    forgiven        smallint    not null default 0,
    last_error      text,
    provider_id     text,
    created_at      timestamptz not null,
    sent_at         timestamptz,
    delivered_at    timestamptz,
    -- The notice that could not arrive, and instead of which this one goes over another channel.
    instead_of      bigint      references notices,
    -- What a link in it shows to prove that it stood there: it ends messages like it, or answers what it asks.
    opens           uuid        not null default gen_random_uuid(),
    -- One cause tells one person once over one channel, however often it is carried out or reacted to.
    constraint notices_once unique (cause, person, channel),
    constraint notices_state_known check (state in ('pending', 'sending', 'sent', 'delivered', 'failed', 'cancelled')),
    constraint notices_channel_known check (channel in ('email', 'sms', 'whatsapp', 'voice', 'push', 'app')),
    constraint notices_recipient_length check (char_length(recipient) between 3 and 254),
    -- What a provider took may still fail on its way.
    constraint notices_sent_at_some_time check
        (state = 'failed' or (state in ('sent', 'delivered')) = (sent_at is not null)),
    constraint notices_secret_until_sent check (secret is null or state in ('pending', 'sending')),
    constraint notices_patient_same_institution foreign key (patient_id, institution_id) references patients (id, institution_id),
    constraint notices_appointment_same_institution foreign key (appointment_id, institution_id) references appointments (id, institution_id)
);
create index notices_to_forget on notices (institution_id, created_at)
    where state not in ('pending', 'sending') and (recipient is not null or facts <> '{}');
create index notices_due on notices (channel, try_at, id) where state in ('pending', 'sending');
create index notices_by_appointment on notices (appointment_id) where appointment_id is not null;
create index notices_by_patient on notices (patient_id, created_at) where patient_id is not null;
create index notices_failed on notices (institution_id, id) where state = 'failed';
create index notices_by_provider on notices (provider_id) where provider_id is not null;

-- Where messages arrive while no provider is configured: each as its reader would see it.
create table mailbox (
    id             bigint      generated always as identity primary key,
    notice_id      bigint      not null references notices,
    institution_id bigint      references institutions,
    channel        text        not null,
    recipient      text        not null,
    language       text        not null,
    subject        text,
    body           text        not null,
    html           text,
    calendar       text,
    -- It opens an account: shown only where the whole database is for trying things out.
    secret         boolean     not null default false,
    at             timestamptz not null,
    -- A message that is sent twice arrives once.
    constraint mailbox_notice_unique unique (notice_id)
);
create index mailbox_by_time on mailbox (institution_id, id);

-- A browser that asked to be told: its push service's address, and the keys that only it reads with (RFC 8291).
create table push_subscriptions (
    id          bigint      generated always as identity primary key,
    -- As notices name whom they are for: `patient:7`, `user:3`.
    person      text        not null,
    patient_id  bigint      references patients,
    user_id     bigint      references users,
    endpoint    text        not null,
    p256dh      bytea       not null,
    auth        bytea       not null,
    created_at  timestamptz not null,
    -- When the push service last took something for it.
    used_at     timestamptz,
    -- Whoever subscribes last in a browser is told there, and nobody else.
    constraint push_subscriptions_once unique (endpoint),
    constraint push_subscriptions_endpoint_length check (char_length(endpoint) between 12 and 1000),
    constraint push_subscriptions_keys_length check (octet_length(p256dh) = 65 and octet_length(auth) = 16),
    constraint push_subscriptions_of_somebody check ((patient_id is null) <> (user_id is null))
);
create index push_subscriptions_by_person on push_subscriptions (person, id);

-- The one key pair by which push services know this deployment (VAPID, RFC 8292); made when it is first needed.
create table push_keys (
    id          smallint    primary key,
    -- Masked with the deployment's secret key where it has one.
    private     bytea       not null,
    public      bytea       not null,
    created_at  timestamptz not null,
    constraint push_keys_only_one check (id = 1)
);

-- What a local day came to, of a location and of each doctor there; without a doctor, of the whole location.
create table daily_figures (
    institution_id     bigint  not null,
    location_id        bigint  not null,
    doctor_id          bigint,
    day                date    not null,
    -- Tickets of people who came that day (one that was transferred counts where it ended), and what became of them.
    tickets            integer not null,
    completed          integer not null,
    no_shows           integer not null,
    cancelled          integer not null,
    -- Seconds from arrival, or from the appointment if that is later, to the call; null where nobody was called.
    wait_p50           integer,
    wait_p90           integer,
    -- Seconds with the doctor.
    consultation_p50   integer,
    -- Scheduled appointments of that day by state: {completed: 12, no_show: 1}.
    appointments       jsonb   not null default '{}',
    computed_at        timestamptz not null,
    -- Each day is told once.
    constraint daily_figures_once unique nulls not distinct (location_id, day, doctor_id),
    constraint daily_figures_location_same_institution foreign key (location_id, institution_id) references locations (id, institution_id),
    constraint daily_figures_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id)
);
create index daily_figures_by_day on daily_figures (institution_id, day);

-- What is set for notices: at an institution, of a doctor, or by a patient for themselves.
create table notice_settings (
    institution_id  bigint not null references institutions,
    doctor_id       bigint,
    patient_id      bigint,
    settings        jsonb  not null default '{}',
    -- When an institution's or a doctor's changed, until the reminders of what is booked there are written anew by them.
    changed_at      timestamptz,
    -- Two sets of settings at one level would both hold, or neither.
    constraint notice_settings_once unique nulls not distinct (institution_id, doctor_id, patient_id),
    constraint notice_settings_of_one check (doctor_id is null or patient_id is null),
    constraint notice_settings_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id),
    constraint notice_settings_patient_same_institution foreign key (patient_id, institution_id) references patients (id, institution_id)
);
create index notice_settings_changed on notice_settings (changed_at) where changed_at is not null;
create unique index notice_settings_by_doctor on notice_settings (doctor_id) where doctor_id is not null;
create unique index notice_settings_by_patient on notice_settings (patient_id) where patient_id is not null;

-- What a patient said of one kind of notice over one channel; what they never spoke of goes by their record's channels.
create table preferences (
    patient_id  bigint      not null references patients,
    kind        text        not null,
    channel     text        not null,
    allowed     boolean     not null,
    -- Who wrote it down: the patient, somebody at the desk for them, or a link in a message.
    source      text        not null,
    actor       text        not null,
    at          timestamptz not null,
    primary key (patient_id, kind, channel),
    constraint preferences_channel_known check (channel in ('email', 'sms', 'whatsapp', 'voice', 'push', 'app')),
    constraint preferences_source_known check (source in ('patient', 'staff', 'link'))
);

-- Contacts whose owner wrote STOP: nothing goes there, whoever's record they are in.
create table opt_outs (
    channel    text        not null,
    recipient  text        not null,
    at         timestamptz not null,
    primary key (channel, recipient),
    constraint opt_outs_channel_known check (channel in ('sms', 'whatsapp', 'voice'))
);

-- What an institution says in its own words; a text without a row is ours.
create table templates (
    institution_id  bigint      not null references institutions,
    kind            text        not null,
    channel         text        not null,
    language        text        not null,
    subject         text,
    body            text        not null,
    changed_at      timestamptz not null,
    changed_by      text        not null,
    primary key (institution_id, kind, channel, language),
    constraint templates_channel_known check (channel in ('email', 'sms', 'whatsapp', 'voice', 'push', 'app')),
    constraint templates_length check (char_length(body) <= 5000 and char_length(subject) <= 300)
);

-- Notices as a patient sees them in the app, until they have seen them.
create table app_notices (
    notice_id   bigint      primary key references notices,
    patient_id  bigint      not null references patients,
    kind        text        not null,
    title       text        not null,
    body        text        not null,
    link        text,
    at          timestamptz not null,
    seen_at     timestamptz
);
create index app_notices_unseen on app_notices (patient_id) where seen_at is null;

-- When somebody who waits was last told to expect their turn: a wait has grown by what it exceeds that.
create table wait_promises (
    ticket_id    bigint      primary key references tickets,
    expected_at  timestamptz not null,
    growths      smallint    not null default 0
);

-- How a visit was, in one answer of its patient.
create table feedback (
    appointment_id  bigint      primary key,
    institution_id  bigint      not null,
    patient_id      bigint      not null,
    doctor_id       bigint,
    score           smallint    not null,
    at              timestamptz not null,
    constraint feedback_score_known check (score between 1 and 5),
    constraint feedback_appointment_same_institution foreign key (appointment_id, institution_id) references appointments (id, institution_id),
    constraint feedback_patient_same_institution foreign key (patient_id, institution_id) references patients (id, institution_id),
    constraint feedback_doctor_same_institution foreign key (doctor_id, institution_id) references doctors (id, institution_id)
);
create index feedback_by_time on feedback (institution_id, at);

-- A stream is the ordered list of events that one audience sees; its row is the gate of the commands that write it.
create table streams (
    name        text        primary key,
    epoch       text        not null,
    version     bigint      not null,
    updated_at  timestamptz not null default now()
);

create table events (
    id            bigint      generated always as identity primary key,
    stream        text        not null references streams,
    version       bigint      not null,
    type          text        not null,
    data          jsonb       not null,
    actor         text        not null,
    at            timestamptz not null,
    published_at  timestamptz,
    -- A version is given once: boards drop what they have and fetch what they lack by this number.
    constraint events_version_unique unique (stream, version)
);
create index events_unpublished on events (at) where published_at is null;

-- The reply to each keyed command, so that a retry gets the same one.
create table replies (
    actor     text        not null,
    key       text        not null,
    request   bytea       not null,
    reply     jsonb       not null,
    at        timestamptz not null default now(),
    primary key (actor, key)
);
create index replies_by_age on replies (at);

-- What each running process last said of itself: here rather than in Redis, so that it can be read while Redis is away.
create unlogged table processes (
    id          text        primary key,
    kind        text        not null,
    started_at  timestamptz not null,
    beat_at     timestamptz not null,
    build       text        not null,
    figures     jsonb       not null,
    constraint processes_kind_known check (kind in ('web', 'worker'))
);

-- What the worker does by the clock: when each job last ran, how that went, and when it is to run next.
create table jobs (
    name           text        primary key,
    next_run       timestamptz not null,
    -- The worker that does it now; a dead worker's hold lapses.
    held_by        text,
    held_until     timestamptz,
    last_started   timestamptz,
    last_finished  timestamptz,
    last_seconds   double precision,
    -- What went wrong when it last did: the kind of error, never what it was about.
    last_error     text,
    last_error_at  timestamptz,
    constraint jobs_held_for_a_time check ((held_by is null) = (held_until is null))
);

-- Every command, and every view of a patient's record by staff: who, what, before and after, from where, when.
create table audit (
    id              bigint      generated always as identity primary key,
    institution_id  bigint      references institutions,
    at              timestamptz not null,
    actor           text        not null,
    role            text        not null,
    action          text        not null,
    -- What was asked, without secrets, and what it changed: [{subject, before, after}].
    asked           jsonb       not null default '{}',
    changes         jsonb       not null default '[]',
    -- Whose records were changed or shown.
    patients        bigint[]    not null default '{}',
    viewed          boolean     not null default false,
    address         text        not null default '',
    agent           text        not null default '',
    request_id      text        not null default '',
    seal_id         bigint
);
create index audit_by_time on audit (institution_id, at);
create index audit_by_actor on audit (institution_id, actor, at);
create index audit_by_patient on audit using gin (patients);
create index audit_unsealed on audit (id) where seal_id is null;
-- Who followed a stream while a patient was on it, and until when.
create index audit_followed on audit ((asked ->> 'stream'), at) where action = 'subscribe';
create index audit_left on audit (request_id) where action = 'unsubscribe';

-- A seal holds the hash of the one before it and of its batch of rows, so that no sealed row can change unseen.
create table seals (
    id              bigint      generated always as identity primary key,
    institution_id  bigint      references institutions,
    previous        bytea       not null,
    hash            bytea       not null,
    rows            integer     not null,
    at              timestamptz not null,
    -- Each institution has one chain without forks, the part above all institutions another.
    constraint seals_no_fork unique nulls not distinct (institution_id, previous)
);
alter table audit add constraint audit_sealed_by foreign key (seal_id) references seals (id);
create index audit_by_seal on audit (seal_id);

-- The trail is written once: after that a row can only be sealed, once.
create function refuse_to_alter_audit() returns trigger language plpgsql as $$
begin
    if tg_table_name = 'audit' and tg_op = 'UPDATE' then
        if old.seal_id is null and new.seal_id is not null then
            old.seal_id := new.seal_id;
            if old = new then
                return new;
            end if;
        end if;
    end if;
    raise exception 'the audit trail cannot be altered' using errcode = 'check_violation', constraint = 'audit_unalterable';
end $$;
create trigger audit_unalterable before update or delete on audit for each row execute function refuse_to_alter_audit();
create trigger seals_unalterable before update or delete on seals for each row execute function refuse_to_alter_audit();
