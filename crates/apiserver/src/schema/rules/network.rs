//! Rules of networks.

use super::Rules;
use crate::schema::defaults::network as defaults;
use crate::schema::validate::network;
use crate::schema::warnings;

impl Rules {
    pub(crate) const ENDPOINT_SLICE: Rules = Rules {
        default: defaults::endpoint_slice,
        check_new: network::endpoint_slice,
        check_update: update!(network::endpoint_slice_update, network::endpoint_slice),
        warn_new: warnings::slice_written,
        warn_update: |new, _, warnings| warnings::slice_written(new, warnings),
        ..Rules::NONE
    };

    pub(crate) const NETWORK_POLICY: Rules = Rules {
        default: defaults::network_policy,
        check_new: network::network_policy,
        check_update: |new, _| network::network_policy(new),
        ..Rules::NONE
    };

    pub(crate) const INGRESS_CLASS: Rules = Rules {
        default: defaults::ingress_class,
        check_new: network::ingress_class,
        check_update: update!(network::ingress_class_update, network::ingress_class),
        ..Rules::NONE
    };
}
