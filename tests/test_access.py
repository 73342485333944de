"""Who may do what: every command, query and stream, for everybody who might ask, over HTTP and over sockets."""

import dataclasses
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest
import pytest_asyncio

from server import access, catalog, errors, events, logs, web
from server.access import Actor, Role
from server.app import COMMANDS, QUERIES
from server.appointments.visits import link_of
from server.asks import Rotated
from tests import clinic
from tests.doors import NUMBERS, STRANGER, Closed, House, Somebody, holder, person, served
from tests.world import PASSWORD, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOBODY = 2**40
"""An id that nothing has."""

DOORS = """
                           stranger patient               doctor                other_doctor          receptionist          admin                 super_admin           board kiosk holder other_holder waiting_screen invited their_doctor          their_receptionist    their_admin           their_board their_holder
join-queue                 401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
call-next                  401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
call-ticket                401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
recall                     401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
start                      401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
complete                   401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
no-show                    401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
return-ticket              401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
hold                       401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
transfer                   401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
prioritize                 401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
cancel                     401      403                   yes                   403                   yes                   yes                   yes                   403   403   yes    404          403            403     404                   404                   404                   403         404
undo                       401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
set-queue-state            401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
set-queue-settings         401      403                   403                   403                   yes                   yes                   yes                   403   403   403    403          403            403     403                   404                   404                   403         403
open-pairing               yes      yes                   yes                   yes                   yes                   yes                   yes                   yes   yes   yes    yes          yes            yes     yes                   yes                   yes                   yes         yes
enroll-device              401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
revoke-device              401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
set-replay                 401      403                   404                   404                   404                   404                   404                   403   403   403    403          403            403     404                   404                   404                   403         403
list-queues                401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     yes                   yes                   yes                   403         403
show-queue                 401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
queue-history              401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
queue-stats                401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
register-patient           401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
search-patients            401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
correct-patient            401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
show-patient               401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
other-records              401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
write-medical-notes        401      403                   yes                   yes                   403                   403                   403                   403   403   403    403          403            403     404                  403                   403                   403         403
medical-notes              401      403                   yes                   yes                   403                   403                   403                   403   403   403    403          403            403     404                  403                   403                   403         403
location-overview          401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
renew-link                 401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
show-ticket                401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
why-before                 401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
my-ticket                  401      403                   403                   403                   403                   403                   403                   403   403   yes    yes          403            403     403                   403                   403                   403         yes
pairing-state              401      403                   403                   403                   403                   403                   403                   403   403   403    403          yes            403     403                   403                   403                   403         403
list-devices               401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   yes                   403         403
show-device                401      403                   403                   403                   403                   403                   403                   yes   yes   403    403          403            403     403                   403                   403                   yes         403
show-replay                401      403                   404                   404                   404                   404                   404                   403   403   403    403          403            403     404                   404                   404                   403         403
session                    401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     yes                   yes                   yes                   403         403
sign-out                   401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     yes                   yes                   yes                   403         403
create-specialty           401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
edit-specialty             401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
retire-specialty           401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
create-visit-type          401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
edit-visit-type            401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
retire-visit-type          401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
set-doctor-photo           401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
remove-doctor-photo        401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
set-institution-booking    401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
set-doctor-booking         401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
show-catalogue             401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                  404                   404                   403         403
list-specialties           401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                  404                   404                   403         403
list-visit-types           401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                  404                   404                   403         403
doctor-photo               401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                  404                   404                   403         403
show-institution-booking   401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                  404                   404                   403         403
show-doctor-booking        401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                  404                   404                   403         403
import-file                401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
import-template            401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   yes                   403         403
create-institution         401      403                   403                   403                   403                   403                   yes                   403   403   403    403          403            403     403                   403                   403                   403         403
edit-institution           401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
create-location            401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
edit-location              401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
retire-location            401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
create-desk                401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
edit-desk                  401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
create-doctor              401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
edit-doctor                401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
create-queue               401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
edit-queue                 401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
retire-queue               401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
list-institutions          401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   yes                   403         403
list-locations             401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
list-desks                 401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
list-doctors               401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
set-institution-settings   401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
set-location-settings      401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
recompute-figures          401 403 403 403 403 yes yes 403 403 403 403 403 403 403 403 404 403 403
list-figures               401 403 403 403 403 yes yes 403 403 403 403 403 403 403 403 404 403 403
set-retention              401 403 403 403 403 yes yes 403 403 403 403 403 403 403 403 404 403 403
show-retention             401 403 403 403 403 yes yes 403 403 403 403 403 403 403 403 404 403 403
show-institution-settings  401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
show-location-settings     401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
show-queue-settings        401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
invite-user                401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
accept-invitation          401      403                   403                   403                   403                   403                   403                   403   403   403    403          403            yes     403                   403                   403                   403         403
edit-user                  401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
deactivate-user            401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
activate-user              401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
reset-user                 401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
end-session                401      404                   404                   404                   404                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
show-invitation            401      403                   403                   403                   403                   403                   403                   403   403   403    403          403            yes     403                   403                   403                   403         403
list-users                 401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
list-sessions              401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     yes                   yes                   yes                   403         403
list-user-sessions         401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
set-up-totp                401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     yes                   yes                   yes                   403         403
confirm-totp               401      second-factor-missing second-factor-missing second-factor-missing second-factor-missing second-factor-missing second-factor-missing 403   403   403    403          403            403     second-factor-missing second-factor-missing second-factor-missing 403         403
remove-totp                401      second-factor-missing second-factor-missing second-factor-missing second-factor-missing second-factor-missing second-factor-missing 403   403   403    403          403            403     second-factor-missing second-factor-missing second-factor-missing 403         403
change-password            401      wrong-password        wrong-password        wrong-password        wrong-password        wrong-password        wrong-password        403   403   403    403          403            403     wrong-password        wrong-password        wrong-password        403         403
rename-device              401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
status                     401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   yes                   403         403
export-audit               401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   yes                   403         403
read-mailbox               401 403 403 403 403 yes yes 403 403 403 403 403 403 403 403 yes 403 403
failed-notices             401 403 403 403 403 yes yes 403 403 403 403 403 403 403 403 yes 403 403
resend-notice              401 403 403 403 403 yes yes 403 403 403 403 403 403 403 403 404 403 403
push-key                   401 yes yes yes yes yes yes 403 403 yes yes 403 403 yes yes yes 403 yes
subscribe-push             401 push-address-refused push-address-refused push-address-refused push-address-refused push-address-refused push-address-refused 403 403 push-address-refused push-address-refused 403 403 push-address-refused push-address-refused push-address-refused 403 push-address-refused
unsubscribe-push           401 yes yes yes yes yes yes 403 403 yes yes 403 403 yes yes yes 403 yes
ask-code                   yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes
verify-code                wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code wrong-sign-in-code
open-institutions          yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes
read-audit                 401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   yes                   403         403
emergency-request          401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   yes    yes          403            403     404                   404                   404                   403         404
acknowledge-emergency      401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
end-emergency              401      404                   yes                   yes                   yes                   yes                   yes                   403   403   404    404          403            403     404                   404                   404                   403         404
list-emergencies           401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     yes                   yes                   yes                   403         403
show-emergency             401      404                   yes                   yes                   yes                   yes                   yes                   403   403   404    404          403            403     404                   404                   404                   403         404
check-in                   401      404                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
check-in-by-link           yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes yes
check-in-here              401      403                   403                   403                   403                   403                   403                   403   yes   403    403          403            403     403                   403                   403                   403         403
start-appointment          401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
complete-appointment       401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
no-show-appointment        401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
arrival-code               401      403                   yes                   yes                   yes                   yes                   yes                   yes   yes   403    403          403            403     404                   404                   404                   404         403
block-time                 401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
merge-patients             401      403                   403                   403                   yes                   yes                   yes                   403   403   403    403          403            403     403                   404                   404                   403         403
book-appointment           401      lock-needed           yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
accept-request             401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
reject-request             401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
confirm-appointment        401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
cancel-appointment         401      404                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
reschedule-appointment     401      404                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
undo-appointment           401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
change-appointments        401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
set-payment                401      403                   403                   403                   yes                   yes                   yes                   403   403   403    403          403            403     403                   404                   404                   403         403
verify-insurance           401      403                   403                   403                   yes                   yes                   yes                   403   403   403    403          403            403     403                   404                   404                   403         403
write-note                 401      403                   yes                   403                   403                   403                   403                   403   403   403    403          403            403     404                   403                   403                   403         403
show-notes                 401      403                   yes                   403                   403                   403                   403                   403   403   403    403          403            403     404                   403                   403                   403         403
search-appointments        401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
export-appointments        401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
appointment-statistics     401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
my-appointments            401      yes                   403                   403                   403                   403                   403                   403   403   403    403          403            403     403                   403                   403                   403         403
see-notices                401      yes                   403                   403                   403                   403                   403                   403   403   403    403          403            403     403                   403                   403                   403         403
set-institution-notices    401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
set-doctor-notices         401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                  403                   404                   403         403
show-institution-notices   401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                  404                   404                   403         403
show-doctor-notices        401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                  404                   404                   403         403
set-preferences            401      yes                   403                   403                   403                   403                   403                   403   403   403    403          403            403     403                   403                   403                   403         403
my-preferences             401      yes                   403                   403                   403                   403                   403                   403   403   403    403          403            403     403                   403                   403                   403         403
set-patient-preferences    401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
patient-preferences        401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
change-text                401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
reset-text                 401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
try-text                   401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
list-texts                 401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
preview-text               401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
show-satisfaction          401      403                   403                   403                   403                   yes                   yes                   403   403   403    403          403            403     403                   403                   404                   403         403
appointment-notices        401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
end-messages               link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown
show-subscription          link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown
give-feedback              link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown
feedback-form              link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown link-unknown
show-appointment           401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
appointment-history        401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
doctors-day                401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
add-schedule               401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
change-schedule            401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
end-schedule               401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
list-schedules             401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
preview-schedule           401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
show-calendar              401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
lock-slot                  401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
extend-lock                401      lock-lost             lock-lost             lock-lost             lock-lost             lock-lost             lock-lost             403   403   403    403          403            403     lock-lost             lock-lost             lock-lost             403         403
unlock-slot                401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     yes                   yes                   yes                   403         403
find-slots                 401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
next-slot                  401      yes                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
add-slot                   401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
add-slots                  401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
change-slot                401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
remove-slot                401      403                   yes                   404                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
remove-slots               401      403                   yes                   404                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
end-block                  401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
list-blocks                401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
join-waitlist              401      yes                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
leave-waitlist             401      404                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
prioritize-wait            401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
accept-offer               401      404                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
decline-offer              401      404                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
accept-by-link             yes      yes                   yes                   yes                   yes                   yes                   yes                   yes   yes   yes    yes          yes            yes     yes                   yes                   yes                   yes         yes
decline-by-link            yes      yes                   yes                   yes                   yes                   yes                   yes                   yes   yes   yes    yes          yes            yes     yes                   yes                   yes                   yes         yes
my-waits                   401      yes                   403                   403                   403                   403                   403                   403   403   403    403          403            403     403                   403                   403                   403         403
search-waitlist            401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
show-wait                  401      403                   yes                   403                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
waitlist-demand            401      403                   yes                   yes                   yes                   yes                   yes                   403   403   403    403          403            403     404                   404                   404                   403         403
offer-by-link              yes      yes                   yes                   yes                   yes                   yes                   yes                   yes   yes   yes    yes          yes            yes     yes                   yes                   yes                   yes         yes
"""  # noqa: E501
"""What each may do to the first clinic's queues, tickets and devices; `their` people belong to a second clinic.
The doctor serves the queue and the other doctor does not; the holder holds the very ticket, the other holder another.
There is no demo here; `tests/test_demo.py` has one."""

STREAMS = """
          patient doctor other_doctor receptionist admin super_admin board kiosk elsewhere_board holder other_holder their_doctor their_receptionist their_admin their_board their_holder
board     no      yes    yes          yes          yes   yes         yes   yes   no              yes    no           no           no                 no          no          no
staff     no      yes    no           yes          yes   yes         no    no    no              no     no           no           no                 no          no          no
shown     no      yes    no           yes          yes   yes         no    no    no              no     no           no           no                 no          no          no
patient   yes     no     no           no           no    no          no    no    no              no     no           no           no                 no          no          no
doctor    no      yes    no           yes          yes   yes         no    no    no              no     no           no           no                 no          no          no
slots     yes     yes    yes          yes          yes   yes         no    no    no              no     no           no           no                 no          no          no
locks     yes     yes    yes          yes          yes   yes         no    no    no              no     no           no           no                 no          no          no
admin     no      no     no           no           yes   yes         no    no    no              no     no           no           no                 no          no          no
waitlist  no      no     no           yes          yes   yes         no    no    no              no     no           no           no                 no          no          no
"""  # noqa: E501
"""Who may join the streams of the first clinic's queue, patient, doctor and institution. A stranger and a screen that
waits for its code to be entered have no socket at all."""


def table(text: str) -> dict[str, dict[str, str]]:
    """A table's rows by their names."""
    head, *rows = [line.split() for line in text.strip().splitlines()]
    return {name: dict(zip(head, cells, strict=True)) for name, *cells in rows}


DOOR, STREAM = table(DOORS), table(STREAMS)
OWNER = {"show-invitation": "invited", "accept-invitation": "invited"}
"""Whose column holds the very thing that is asked about; otherwise the holder's."""
DECLARED = {one.name: one for one in (*COMMANDS, *QUERIES, *web.OPERATIONS) if one.name != "sign-in"}
ON_SOCKETS = {one.name: one for one in COMMANDS if not issubclass(one.reply, Rotated)}
REFUSALS = {str(one.status): one for one in (errors.NotAuthenticated, errors.NotAllowed, errors.NotFound)}

FAILED_NOTICE = """
insert into notices (institution_id, kind, cause, person, channel, state, due_at, try_at, created_at)
values ($1, 'thank-you', 'test:' || $2::int, 'patient:1', 'sms', 'failed', now(), now(), now()) returning id
"""


OF_A_DAY = {"add-schedule", "preview-schedule", "change-schedule", "end-schedule"} | {
    "add-slot", "add-slots", "change-slot", "remove-slot", "remove-slots",
}  # fmt: skip
"""What is asked of a day on which nothing else is."""


@dataclass
class Town:
    """The served clinic, a second one in the same house, and everybody in both."""

    house: House
    home: World
    theirs: World
    queue: int
    patient: int
    everybody: dict[str, Somebody]
    days: Iterator[int] = dataclasses.field(default_factory=lambda: itertools.count(1))
    hours: Iterator[int] = dataclasses.field(default_factory=lambda: itertools.count(1))

    async def queue_of(self, world: World) -> int:
        """A new queue that the first doctor alone serves."""
        return await world.queue(f"Queue {next(NUMBERS)}", owner=world.doctors[0])

    async def signed_in_anew(self, who: Somebody) -> Somebody:
        """The same person in another session."""
        assert who.auth
        email = await self.home.pool.fetchval(EMAIL, access.digest(who.auth["token"]))
        return person((await access.sign_in(self.home.pool, email, PASSWORD)).token)

    async def ready(self, name: str, world: World | None = None) -> tuple[dict[str, Any], Somebody | None]:
        """An ask that can be carried out now, by whoever may; and the holder of the ticket that it is about."""
        world = world or self.home
        match name:
            case "open-pairing" | "list-queues" | "my-ticket" | "pairing-state" | "list-devices" | "show-device":
                return {}, None
            case "show-replay" | "session" | "sign-out" | "read-audit" | "export-audit":
                return {}, None
            case "set-replay":
                return {"state": "paused"}, None
            case "recompute-figures" | "list-figures":
                return {"from": "2026-03-01", "to": "2026-03-02", "institution_id": world.institution}, None
            case "set-retention" | "show-retention":
                more = {"events_days": 90} if name == "set-retention" else {}
                return {"institution_id": world.institution, **more}, None
            case "open-institutions" | "read-mailbox" | "push-key" | "failed-notices":
                return {}, None
            case "subscribe-push" | "unsubscribe-push":
                keys = {"p256dh": "B" * 87, "auth": "B" * 22} if name == "subscribe-push" else {}
                return {"endpoint": f"https://10.0.0.1/{next(NUMBERS)}", **keys}, None
            case "resend-notice":
                return {"notice_id": await world.pool.fetchval(FAILED_NOTICE, world.institution, next(NUMBERS))}, None
            case "ask-code" | "verify-code":
                code = {"code": "000000"} if name == "verify-code" else {}
                return {"contact": f"somebody{next(NUMBERS)}@example.org", **code}, None
            case "register-patient":
                return {"name": "Somebody new", "confirm_new": True, "institution_id": world.institution}, None
            case "search-patients":
                return {"q": "somebody", "institution_id": world.institution}, None
            case "correct-patient" | "show-patient" | "other-records":
                new = await world.do("register-patient", name="Somebody new", confirm_new=True)
                return {"patient_id": new.patient.id, **({"phone": None} if name == "correct-patient" else {})}, None
            case "write-medical-notes" | "medical-notes":
                new = await world.do("register-patient", name="Somebody new", confirm_new=True)
                written = {"medical_notes": None} if name == "write-medical-notes" else {}
                return {"patient_id": new.patient.id, **written}, None
            case "location-overview":
                return {"location_id": world.location}, None
            case "enroll-device":
                code = (await world.do("open-pairing", access.ANONYMOUS)).code
                return {"code": code, "location_id": world.location, "name": f"Board {next(NUMBERS)}"}, None
            case "revoke-device":
                return {"device_id": (await world.device(f"Board {next(NUMBERS)}"))[0]}, None
        if name in ("show-invitation", "accept-invitation"):
            return ({"password": PASSWORD} if name == "accept-invitation" else {}), await self.invited(world)
        if (ask := await self.ready_for_visits(name, world)) is not None:
            return ask, None
        if (ask := await self.ready_to_administer(name, world)) is not None:
            return ask, None
        if (ask := await self.ready_for_appointments(name, world)) is not None:
            return ask, None
        if (ask := await self.ready_to_wait(name, world)) is not None:
            return ask, None
        queue = await self.queue_of(world)
        match name:
            case "join-queue":
                patient = (await world.join(await self.queue_of(world))).ticket_id
                id_ = await world.pool.fetchval("select patient_id from tickets where id = $1", patient)
                return {"queue_id": queue, "patient_id": id_}, None
            case "set-queue-state":
                return {"queue_id": queue, "state": "paused"}, None
            case "set-queue-settings":
                return {"queue_id": queue, "max_length": 9}, None
            case "show-queue" | "queue-history" | "queue-stats":
                return {"queue_id": queue}, None
        desk = await self.house.desk(world)
        joined = await world.join(queue)
        ticket, owner = joined.ticket_id, holder(joined)
        if name in ("recall", "start", "complete", "no-show", "return-ticket", "undo"):
            await world.do("call-next", queue_id=queue, desk_id=desk)
        if name == "complete":
            await world.do("start", ticket_id=ticket)
        match name:
            case "call-next":
                return {"queue_id": queue, "desk_id": desk}, owner
            case "call-ticket":
                return {"ticket_id": ticket, "desk_id": desk, "reason": "A fever."}, owner
            case "transfer":
                return {"ticket_id": ticket, "queue_id": await self.queue_of(world)}, owner
            case "prioritize":
                return {"ticket_id": ticket, "urgency": "urgent", "reason": "A fever."}, owner
            case "renew-link":
                return {"ticket_id": ticket}, None
            case "why-before":
                return {"ticket_id": ticket, "before": (await world.join(queue)).ticket_id}, owner
        assert name in DECLARED
        return {"ticket_id": ticket}, owner

    async def invited(self, world: World) -> Somebody:
        """Whoever holds a fresh invitation's link."""
        email = f"invited{next(NUMBERS)}@clinic.example"
        reply = await world.do("invite-user", "admin", email=email, name="Somebody", role="receptionist")
        return Somebody(f"Invitation {reply.link.rpartition('/')[2]}")

    async def ready_for_visits(self, name: str, world: World) -> dict[str, Any] | None:
        """The same for what is asked on the day of a visit, of emergencies, blocked time and merged records."""
        match name:
            case "emergency-request":
                return {"location_id": world.location, "reason": "Not breathing"}
            case "list-emergencies":
                return {}
            case "acknowledge-emergency" | "end-emergency" | "show-emergency":
                raised = await world.do("emergency-request", location_id=world.location, reason="Not breathing")
                return {"emergency_id": raised.emergency_id}
            case "arrival-code":
                return {"location_id": world.location}
            case "block-time":
                days = {"first_day": "2030-01-01", "last_day": "2030-01-02"}
                return {"doctor_id": world.doctors[0], "kind": "leave", **days}
            case "merge-patients":
                return {"patient_id": await clinic.patient_of(world), "into": await clinic.patient_of(world)}
            case "check-in" | "start-appointment" | "complete-appointment" | "no-show-appointment":
                return {"appointment_id": (await self.visit_now(world)).appointment_id}
            case "check-in-by-link":
                one = (await self.visit_now(world)).appointment_id
                secret = await world.pool.fetchval("select arrival_secret from locations where id = $1", world.location)
                code = (await world.ask("arrival-code", location_id=world.location)).code
                return {"link": link_of(secret, one), "code": code}
            case "check-in-here":
                return {"number": (await self.visit_now(world)).number, "birth_date": "1980-05-17"}
        return None

    async def visit_now(self, world: World) -> Any:
        """An appointment with the first doctor that is to begin this minute, of somebody born on 1980-05-17."""
        await self.queue_of(world)
        new = {"name": f"Somebody {next(NUMBERS)}", "birth_date": "1980-05-17", "confirm_new": True}
        patient = (await world.do("register-patient", **new)).patient.id
        slots = await clinic.slots_of(world, after=timedelta(days=2, hours=next(self.hours)))
        booked = await clinic.book(world, slots, patient_id=patient)
        await world.pool.execute(BEGINS_NOW, booked.appointment_id)
        return booked

    async def account(self, world: World) -> int:
        """Somebody who works there and has a session."""
        email = f"staff{next(NUMBERS)}@clinic.example"
        await world.account(Role.receptionist, email)
        return int(await world.pool.fetchval("select id from users where email = $1", email))

    async def ready_for_appointments(self, name: str, world: World) -> dict[str, Any] | None:
        """The same for what is asked about the first doctor's appointments; None for anything else."""
        match name:
            case "search-appointments" | "export-appointments" | "appointment-statistics":
                return {"institution_id": world.institution}
            case "my-appointments":
                return {}
            case "see-notices":
                return {"notices": [NOBODY]}
            case "my-preferences" | "set-preferences":
                return {}
            case "end-messages" | "show-subscription" | "feedback-form":
                return {"token": f"1.{'0' * 32}"}
            case "give-feedback":
                return {"token": f"1.{'0' * 32}", "score": 5}
            case "doctors-day":
                return {"doctor_id": world.doctors[0]}
            case "book-appointment":
                patient = self.patient if world is self.home else await clinic.patient_of(world)
                slots, doctor = await self.free_slot(world), world.doctors[0]
                return {"slot_ids": slots, "doctor_id": doctor, "patient_id": patient, "insist": True}
        if name not in APPOINTMENT_STEPS:
            return None
        id_ = (await clinic.book(world, await self.free_slot(world))).appointment_id
        if name in ("accept-request", "reject-request", "confirm-appointment"):
            await world.pool.execute("update appointments set state = 'pending' where id = $1", id_)
            await world.pool.execute("insert into appointment_doctors values ($1, $2)", id_, world.doctors[0])
        if name == "undo-appointment":
            await world.do("cancel-appointment", appointment_id=id_)
        return {
            **({} if name == "change-appointments" else {"appointment_id": id_}),
            **APPOINTMENT_STEPS[name](id_),
        } | ({"slot_ids": await self.free_slot(world)} if name == "reschedule-appointment" else {})

    async def ready_to_wait(self, name: str, world: World) -> dict[str, Any] | None:
        """The same for what is asked about the waitlist; None for anything else."""
        if name == "my-waits":
            return {}
        # Days on which nothing else is, so that nobody is offered what another test frees.
        day = str((clinic.now(world) + timedelta(days=1000 + next(self.days))).date())
        wish = {"doctor_id": world.doctors[0], "first_day": day}
        match name:
            case "search-waitlist":
                return {"institution_id": world.institution}
            case "waitlist-demand":
                return {"institution_id": world.institution, "first_day": day, "last_day": day}
            case "join-waitlist":
                await clinic.set_booking(world, waitlist_per_patient=50)
                patient = self.patient if world is self.home else await clinic.patient_of(world)
                return {**wish, "patient_id": patient}
            case "leave-waitlist" | "prioritize-wait" | "show-wait":
                entry = await world.do("join-waitlist", **wish, patient_id=await clinic.patient_of(world))
                more = {"priority": 6, "reason": "In pain."} if name == "prioritize-wait" else {}
                return {"entry_id": entry.entry_id, **more}
            case "accept-offer" | "decline-offer":
                return {"offer_id": await self.offered(world)}
            case "accept-by-link" | "decline-by-link" | "offer-by-link":
                secret = f"the link of one offer {next(NUMBERS)}"
                await world.pool.execute(SET_LINK, await self.offered(world), access.digest(secret))
                return {"secret": secret}
        return None

    async def offered(self, world: World) -> int:
        """Time of the first doctor that is held for somebody who waits."""
        await world.pool.execute("update waitlist set state = 'left', ended_at = now() where state = 'waiting'")
        (slot,) = await clinic.slots_of(world, after=timedelta(days=500, hours=next(self.days)))
        wish = {"doctor_id": world.doctors[0], "first_day": await clinic.day_of(world, slot)}
        entry = await world.do("join-waitlist", patient_id=await clinic.patient_of(world), **wish)
        return int(entry.offer_id)

    async def free_slot(self, world: World) -> list[int]:
        """A free slot of the first doctor, later than any before it."""
        return await clinic.slots_of(world, after=timedelta(days=2, hours=next(self.hours)))

    async def ready_to_administer(self, name: str, world: World) -> dict[str, Any] | None:
        """The same for what the back office asks; None for anything else."""
        label = f"Thing {next(NUMBERS)}"
        match name:
            case "create-institution":
                return {"name": label}
            case "edit-institution":
                return {"institution_id": world.institution, "languages": ["en"]}
            case "create-location" | "create-doctor":
                return {"institution_id": world.institution, "name": label}
            case "import-file":
                return {"institution_id": world.institution, "kind": "specialties", "content": "name\nA\n"}
            case "import-template":
                return {"kind": "patients"}
            case "create-specialty":
                return {"institution_id": world.institution, "name": label}
            case "create-visit-type":
                return {"institution_id": world.institution, "name": label, "minutes": 30}
            case "edit-specialty" | "retire-specialty":
                made = await world.do("create-specialty", "admin", name=label)
                renamed = {"name": f"{label} too"} if name == "edit-specialty" else {}
                return {"specialty_id": made.specialty, **renamed}
            case "edit-visit-type" | "retire-visit-type":
                made = await world.do("create-visit-type", "admin", name=label, minutes=30)
                return {"visit_type_id": made.visit_type, **({"minutes": 45} if name == "edit-visit-type" else {})}
            case "set-doctor-photo":
                return {"doctor_id": world.doctors[1], "content": PICTURE}
            case "remove-doctor-photo" | "doctor-photo":
                await world.do("set-doctor-photo", "admin", doctor_id=world.doctors[1], content=PICTURE)
                return {"doctor_id": world.doctors[1]}
            case "set-institution-booking":
                return {"institution_id": world.institution, "advance_booking_days": 30}
            case "set-doctor-booking":
                return {"doctor_id": world.doctors[1], "advance_booking_days": 30}
            case "show-doctor-booking" | "show-doctor-notices":
                return {"doctor_id": world.doctors[1]}
            case "set-doctor-notices":
                return {"doctor_id": world.doctors[1], "wait_grown_minutes": 20}
            case "set-institution-notices":
                return {"institution_id": world.institution, "wait_grown_minutes": 20}
            case "show-institution-notices":
                return {"institution_id": world.institution}
            case "patient-preferences" | "set-patient-preferences":
                return {"patient_id": await clinic.patient_of(world)}
            case "list-texts":
                return {"institution_id": world.institution, "language": "en"}
            case "change-text" | "reset-text" | "try-text" | "preview-text":
                one = {"kind": "reminder", "channel": "email", "language": "en"}
                said = {} if name == "reset-text" else {"subject": "Soon", "body": "{{ when }}"}
                return {"institution_id": world.institution, **one, **said}
            case "show-satisfaction":
                return {"institution_id": world.institution, "first_day": "2026-01-01", "last_day": "2026-12-31"}
            case "show-institution-booking" | "show-catalogue" | "list-specialties" | "list-visit-types":
                return {"institution_id": world.institution}
            case "list-locations" | "list-doctors" | "show-institution-settings":
                return {"institution_id": world.institution}
            case "set-institution-settings":
                return {"institution_id": world.institution, "max_length": 100_000}
            case "list-institutions":
                return {}
            case "retire-location":
                async with world.pool.acquire() as conn:
                    return {"location_id": await catalog.add_location(conn, world.institution, label)}  # type: ignore[arg-type]
            case "edit-location":
                return {"location_id": world.location, "zone": "Europe/London"}
            case "list-desks" | "show-location-settings":
                return {"location_id": world.location}
            case "set-location-settings":
                return {"location_id": world.location, "token_digits": 3}
            case "create-desk":
                return {"location_id": world.location, "name": label}
            case "create-queue":
                return {"location_id": world.location, "name": label, "owner": world.doctors[0]}
            case "edit-desk":
                return {"desk_id": await self.house.desk(world), "name": label}
            case "edit-doctor":
                return {"doctor_id": world.doctors[0], "name": label}
            case "edit-queue":
                return {"queue_id": await self.queue_of(world), "name": label}
            case "retire-queue" | "show-queue-settings":
                return {"queue_id": await self.queue_of(world)}
        return await self.ready_for_time(name, world) or await self.ready_for_people(name, world, label)

    async def ready_for_time(self, name: str, world: World) -> dict[str, Any] | None:
        """The same for what is asked about a doctor's time."""
        day = date(2027, 1, 1) + timedelta(days=next(self.days) if name in OF_A_DAY else 0)
        doctor = {"doctor_id": world.doctors[0]}
        here = {**doctor, "location_id": world.location}
        week = [{"weekday": 0, "starts": "09:00", "ends": "10:00"}]
        match name:
            case "list-schedules":
                return doctor
            case "show-calendar":
                return {**doctor, "first_day": "2027-01-01", "last_day": "2027-01-31"}
            case "add-schedule" | "preview-schedule":
                return {**here, "starts_on": day.isoformat(), "ends_on": day.isoformat(), "week": week}
            case "change-schedule" | "end-schedule":
                ask = {**here, "starts_on": day.isoformat(), "ends_on": day.isoformat(), "week": week}
                id_ = (await world.do("add-schedule", **ask)).schedule.id
                return {"schedule_id": id_, **({"last_day": f"{day}"} if name == "end-schedule" else {})}
            case "add-slot":
                return {**here, "starts_at": f"{day}T09:00:00Z", "minutes": 30}
            case "add-slots":
                return {**here, "first_day": f"{day}", "last_day": f"{day}", **EVENING}
            case "change-slot" | "remove-slot" | "remove-slots":
                made = await world.do("add-slot", **here, starts_at=f"{day}T09:00:00Z", minutes=30)
                return {"slot_ids": made.slot_ids} if name == "remove-slots" else {"slot_id": made.slot_ids[0]}
            case "list-blocks" | "find-slots" | "next-slot":
                return {"institution_id": world.institution}
            case "lock-slot":
                return {"slot_id": (await self.free_slot(world))[0]}
            case "extend-lock" | "unlock-slot":
                return {"slot_id": 1, "token": "nobody's"}
            case "end-block":
                return {"block_id": await world.pool.fetchval(A_BLOCK, world.institution, world.doctors[0])}
        return None

    async def ready_for_people(self, name: str, world: World, label: str) -> dict[str, Any] | None:
        """The same for what is asked about people, their sessions and second factors."""
        match name:
            case "invite-user":
                email = f"invited{next(NUMBERS)}@clinic.example"
                return {"institution_id": world.institution, "email": email, "name": label, "role": "receptionist"}
            case "edit-user":
                return {"user_id": await self.account(world), "name": label}
            case "deactivate-user" | "activate-user" | "reset-user" | "list-user-sessions":
                return {"user_id": await self.account(world)}
            case "list-users":
                return {"institution_id": world.institution}
            case "end-session":
                id_ = await world.pool.fetchval(A_SESSION, await self.account(world))
                return {"session_id": id_}
            case "rename-device":
                return {"device_id": (await world.device(label))[0], "name": label}
            case "list-sessions" | "set-up-totp" | "status":
                return {}
            case "change-password":
                return {"password": "not the password", "new_password": "seven herons over brackish estuary"}
            case "confirm-totp" | "remove-totp":
                await world.pool.execute("delete from second_factors")
                return {"code": "000000"}
        return None


PICTURE = "iVBORw0KGgo="
"""The beginning of a PNG, which is all that is looked at."""
APPOINTMENT_STEPS: dict[str, Callable[[int], dict[str, Any]]] = {
    **dict.fromkeys(
        (
            "accept-request", "reject-request", "confirm-appointment", "cancel-appointment", "undo-appointment",
            "reschedule-appointment", "show-appointment", "appointment-history", "appointment-notices", "show-notes",
        ),
        lambda _: {},
    ),
    "change-appointments": lambda id_: {"action": "cancel", "appointment_ids": [id_]},
    "set-payment": lambda _: {"payment": "paid"},
    "verify-insurance": lambda _: {"verified": True},
    "write-note": lambda _: {"kind": "note", "content": "As expected."},
}  # fmt: skip
"""What each step of an appointment asks besides it."""

EVENING = {"starts": "18:00", "ends": "19:00", "slot_minutes": 30}
A_BLOCK = """
insert into blocks (institution_id, doctor_id, kind, starts_at, ends_at)
values ($1, $2, 'leave', now(), now() + interval '1 hour') returning id
"""
BEGINS_NOW = """
update appointments set starts_at = now(), ends_at = now() + interval '30 minutes' where id = $1
"""
SET_LINK = "update offers set secret_hash = $2 where id = $1"
A_SESSION = "select id from sessions where user_id = $1"


EMAIL = "select u.email from users u join sessions s on s.user_id = u.id where s.token_hash = $1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(postgres: Any, redis_server: Any) -> AsyncIterator[Town]:
    url = postgres.fresh()
    logs.configure(level="warning")
    async with served(url, redis_server.fresh()) as house:
        home, theirs = house.world, await house.world.other()
        town = Town(house, home, theirs, 0, 0, {})
        for world in (home, theirs):
            await clinic.set_booking(world, advance_booking_days=730)
        town.queue = await town.queue_of(home)
        joined = await home.join(town.queue)
        town.patient = await home.pool.fetchval("select patient_id from tickets where id = $1", joined.ticket_id)
        async with home.pool.acquire() as conn:
            branch = await catalog.add_location(conn, home.institution, "Branch")  # type: ignore[arg-type]
        everybody = {
            "stranger": STRANGER,
            "patient": await house.sign_in(Role.patient, patient_id=town.patient),
            "doctor": await house.sign_in(Role.doctor, doctor_id=home.doctors[0]),
            "other_doctor": await house.sign_in(Role.doctor, doctor_id=home.doctors[1]),
            "receptionist": await house.sign_in(Role.receptionist),
            "admin": await house.sign_in(Role.admin),
            "super_admin": await house.sign_in(Role.super_admin),
            "board": await house.enrolled(),
            "kiosk": await house.enrolled("kiosk"),
            "elsewhere_board": await house.enrolled(location=branch),
            "holder": holder(joined),
            "other_holder": holder(await home.join(await town.queue_of(home))),
            "waiting_screen": await house.waiting_screen(),
            "their_doctor": await house.sign_in(Role.doctor, theirs, doctor_id=theirs.doctors[0]),
            "their_receptionist": await house.sign_in(Role.receptionist, theirs),
            "their_admin": await house.sign_in(Role.admin, theirs),
            "their_board": await house.enrolled(world=theirs),
            "their_holder": holder(await theirs.join(await town.queue_of(theirs))),
        }
        town.everybody = {**everybody, "invited": await town.invited(home)}
        yield town
    postgres.drop(url)


async def test_every_command_query_and_stream_has_its_row() -> None:
    assert DOOR.keys() == DECLARED.keys()
    assert STREAM.keys() == events.STREAM_ROWS.keys()


async def test_every_role_has_its_column(town: Town) -> None:
    roles = {"their_doctor": "doctor", "their_admin": "admin", "holder": "ticket", "board": "device"}
    roles |= {"waiting_screen": "pairing", "invited": "invitation", "stranger": "anonymous", "kiosk": "device"}
    columns = {roles.get(name, name) for row in DOOR.values() for name in row}
    assert {role.value for role in Role} - columns == {"system"}
    assert DOOR["join-queue"].keys() <= town.everybody.keys()
    assert STREAM["board"].keys() <= town.everybody.keys()


def told(problem: dict[str, Any] | None) -> str:
    """What came of it, in the table's words."""
    if problem is None:
        return "yes"
    return next((short for short, one in REFUSALS.items() if one.code == problem["code"]), problem["code"])


@pytest.mark.parametrize("name", DOOR)
async def test_door_opens_to_exactly_these_over_http(town: Town, name: str) -> None:
    found = {}
    ask, owner = await town.ready(name)
    for who, expected in DOOR[name].items():
        if expected == "yes":
            ask, owner = await town.ready(name)
        asker = owner if owner and who == OWNER.get(name, "holder") else town.everybody[who]
        if name == "sign-out" and expected == "yes":
            asker = await town.signed_in_anew(asker)
        answer = await town.house.ask(DECLARED[name], asker, ask)
        found[who] = told(None if answer.is_success else answer.json())
    assert found == DOOR[name]


@pytest.mark.parametrize("name", ON_SOCKETS)
async def test_door_opens_to_exactly_these_over_sockets(town: Town, name: str) -> None:
    expected = {who: cell for who, cell in DOOR[name].items() if town.everybody[who].auth}
    found = {}
    ask, owner = await town.ready(name)
    for who, cell in expected.items():
        if cell == "yes":
            ask, owner = await town.ready(name)
        peer = await town.house.knock(owner if owner and who == OWNER.get(name, "holder") else town.everybody[who])
        answer = await peer.call(name, ask)
        found[who] = told(answer.get("problem"))
        await peer.ws.close()
    assert found == expected


async def test_stranger_and_waiting_screen_get_no_socket(town: Town) -> None:
    secret = (town.everybody["waiting_screen"].header or "").split()[1]
    tries = [None, {"token": ""}, {"token": "x"}, {"device": secret}, {"ticket": secret}, {"pairing": secret}]
    tries += [{"token": 1}, {"token": None}, {"token": ["x"]}, {"token": "x" * 5000}, {"token": "x", "device": "y"}]
    for auth in tries:
        with pytest.raises(Closed) as refused:
            await town.house.knock(Somebody(auth=auth))
        assert refused.value.args[0]["code"] == "not-authenticated"


async def test_credential_of_one_kind_opens_nothing_as_another(town: Town) -> None:
    schemes = ("Bearer", "Device", "Ticket", "Pairing")
    for who in ("doctor", "board", "holder", "waiting_screen"):
        scheme, secret = (town.everybody[who].header or "").split()
        for other in (*schemes, "Basic", "Bearer,"):
            if other != scheme:
                answer = await town.house.http.get("/api/v1/queues", headers={"Authorization": f"{other} {secret}"})
                if (who, other) == ("board", "Pairing"):
                    assert answer.json()["code"] == "not-allowed", "it may ask how its pairing went, and that is all"
                else:
                    assert answer.json()["code"] == "not-authenticated", (who, other)


@pytest.mark.parametrize("kind", STREAM)
async def test_stream_is_joined_by_exactly_these(town: Town, kind: str) -> None:
    doctor = dict.fromkeys(("doctor", "slots", "locks"), town.home.doctors[0])
    institution = dict.fromkeys(("admin", "waitlist"), town.home.institution)
    ids = {"patient": town.patient, **institution, **doctor}
    stream = f"{kind}:{ids.get(kind, town.queue)}"
    found, refusals = {}, []
    for who in STREAM[kind]:
        peer = await town.house.knock(town.everybody[who])
        answer = await peer.call("subscribe", {"stream": stream})
        found[who] = "yes" if "ok" in answer else "no"
        if "problem" in answer:
            nowhere = await peer.call("subscribe", {"stream": f"{kind}:{NOBODY}"})
            refusals.append((answer["problem"], nowhere["problem"]))
        await peer.ws.close()
    assert found == STREAM[kind]
    for there, not_there in refusals:
        assert there == not_there
        assert there["code"] == "not-allowed"


@pytest.mark.parametrize("kind", STREAM)
async def test_nobody_joins_a_stream_of_what_does_not_exist(town: Town, kind: str) -> None:
    for who in STREAM[kind]:
        peer = await town.house.knock(town.everybody[who])
        answer = await peer.call("subscribe", {"stream": f"{kind}:{NOBODY}"})
        assert answer.get("problem", {}).get("code") == "not-allowed", who
        await peer.ws.close()


async def test_stream_without_a_rule_is_joined_by_nobody(town: Town) -> None:
    for role in Role:
        actor = Actor(role, id=1, institution_id=town.home.institution, doctor_id=town.home.doctors[0])
        assert not await access.may_join(town.home.pool, actor, events.Stream("payments", town.queue))


async def test_only_a_board_that_follows_says_what_it_has_shown(town: Town) -> None:
    ask = {"stream": f"board:{town.queue}", "version": 1, "spoken": False}
    for who in STREAM["board"]:
        peer = await town.house.knock(town.everybody[who])
        assert (await peer.call("call-shown", ask))["problem"]["code"] == "not-allowed", who
        await peer.call("subscribe", {"stream": ask["stream"]})
        answer = await peer.call("call-shown", ask)
        assert ("ok" in answer) == (who == "board"), who
        await peer.ws.close()


# What is another clinic's looks like what is not there

IDS = (
    "queue_id",
    "ticket_id",
    "desk_id",
    "patient_id",
    "device_id",
    "location_id",
    "before",
    "institution_id",
    "doctor_id",
    "owner",
    "user_id",
    "session_id",
    "specialty_id",
    "visit_type_id",
    "entry_id",
    "offer_id",
)


@pytest.mark.parametrize("name", [one for one in DOOR if one not in ("session", "sign-out")])
async def test_another_clinics_things_look_as_if_they_were_not_there(town: Town, name: str) -> None:
    (ours, _), (own, _) = await town.ready(name, town.home), await town.ready(name, town.theirs)
    ids = [field for field in IDS if field in own]
    for who in ("their_doctor", "their_receptionist", "their_admin", "their_holder"):
        for fields in [*([field] for field in ids), ids] if ids else []:
            there = {**own, **{field: ours[field] for field in fields}}
            not_there = {**own, **{field: NOBODY + number for number, field in enumerate(fields)}}
            answers = [await town.house.ask(DECLARED[name], town.everybody[who], one) for one in (there, not_there)]
            one, other = [(answer.status_code, answer.json()) for answer in answers]
            assert one == other, (who, fields)
            assert one[0] in (403, 404, 422), (who, fields)


async def test_transfer_tells_nothing_of_another_clinics_queue(town: Town) -> None:
    ours, _ = await town.ready("transfer", town.home)
    queue = await town.home.pool.fetchval("select queue_id from tickets where id = $1", ours["ticket_id"])
    for who in ("their_doctor", "their_admin"):
        guesses = [{"ticket_id": ours["ticket_id"], "queue_id": id_} for id_ in (queue, ours["queue_id"], NOBODY)]
        told = [(await town.house.ask(DECLARED["transfer"], town.everybody[who], one)).json() for one in guesses]
        assert told[0] == told[1] == told[2], who


async def test_lists_hold_nothing_of_another_clinic(town: Town) -> None:
    for name, who in (("list-queues", "their_doctor"), ("list-queues", "their_admin"), ("list-devices", "their_admin")):
        items = (await town.house.ask(DECLARED[name], town.everybody[who], {})).json()["items"]
        assert items
        assert {one.get("location_id", one.get("location")) for one in items} == {town.theirs.location}
    answer = await town.house.ask(
        DECLARED["list-queues"], town.everybody["their_admin"], {"location_id": town.home.location}
    )
    assert answer.json()["items"] == []


# The rules themselves


async def test_nobody_belongs_to_what_is_nobodys() -> None:
    for role in Role:
        assert not Actor(role, institution_id=None).within(None)
    assert Actor(Role.super_admin).within(7)
    assert not Actor(Role.admin, institution_id=8).within(7)
    assert not Actor(Role.anonymous).within(7)
