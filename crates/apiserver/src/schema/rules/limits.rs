//! Rules of limit ranges and quotas.

use super::Rules;
use crate::schema::defaults::limits as defaults;
use crate::schema::validate::limits;

impl Rules {
    pub(crate) const LIMIT_RANGE: Rules = Rules {
        default: defaults::limit_range,
        check_new: limits::limit_range,
        check_update: |new, _| limits::limit_range(new),
        ..Rules::NONE
    };

    pub(crate) const RESOURCE_QUOTA: Rules = Rules {
        check_new: limits::resource_quota,
        check_update: update!(limits::resource_quota_update, limits::resource_quota),
        check_status: |new, _| limits::resource_quota_status(new),
        ..Rules::NONE
    };
}
