//! Rules of devices that pods claim.

use super::Rules;
use crate::schema::defaults::devices as defaults;
use crate::schema::validate::devices;

impl Rules {
    pub(crate) const DEVICE_CLASS: Rules =
        Rules { check_new: devices::device_class, check_update: |new, _| devices::device_class(new), ..Rules::NONE };

    pub(crate) const RESOURCE_CLAIM: Rules = Rules {
        default: defaults::claim,
        check_new: devices::claim,
        check_update: devices::claim_update,
        check_status: devices::claim_status,
        ..Rules::NONE
    };

    pub(crate) const RESOURCE_CLAIM_TEMPLATE: Rules = Rules {
        default: defaults::claim_template,
        check_new: devices::claim_template,
        check_update: devices::claim_template_update,
        ..Rules::NONE
    };

    pub(crate) const RESOURCE_SLICE: Rules = Rules {
        check_new: devices::slice,
        check_update: update!(devices::slice_update, devices::slice),
        ..Rules::NONE
    };
}
