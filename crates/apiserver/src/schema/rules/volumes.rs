//! Rules of persistent volumes, claims, and templates of pods.

use super::Rules;
use crate::schema::convert;
use crate::schema::defaults::volumes as defaults;
use crate::schema::validate::volumes;
use crate::schema::warnings;

impl Rules {
    pub(crate) const PERSISTENT_VOLUME: Rules = Rules {
        default: defaults::persistent_volume,
        check_new: volumes::persistent_volume,
        check_update: update!(volumes::persistent_volume_update, volumes::persistent_volume),
        check_status: |new, _| volumes::persistent_volume_status(new),
        ..Rules::NONE
    };

    pub(crate) const PERSISTENT_VOLUME_CLAIM: Rules = Rules {
        default: defaults::persistent_volume_claim,
        check_new: volumes::claim,
        check_update: update!(volumes::claim_update, volumes::claim),
        check_status: |new, _| volumes::claim_status(new),
        ..Rules::NONE
    };

    pub(crate) const POD_TEMPLATE: Rules = Rules {
        convert: convert::pod_template,
        default: defaults::pod_template,
        check_new: volumes::pod_template,
        check_update: |new, _| volumes::pod_template(new),
        warn_new: warnings::pod_template_written,
        warn_update: |new, _, warnings| warnings::pod_template_written(new, warnings),
        ..Rules::NONE
    };
}
