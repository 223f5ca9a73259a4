//! Rules of certificate requests.

use super::Rules;
use crate::schema::validate::certificates;

impl Rules {
    pub(crate) const CERTIFICATE_SIGNING_REQUEST: Rules = Rules {
        check_new: certificates::request,
        check_update: |new, old| certificates::status(new, old),
        check_status: certificates::status,
        ..Rules::NONE
    };
}
