//! Rules of storage and of runtimes.

use super::Rules;
use crate::schema::defaults::storage as defaults;
use crate::schema::validate::storage;
use crate::schema::warnings;

impl Rules {
    pub(crate) const RUNTIME_CLASS: Rules = Rules {
        check_new: storage::runtime_class,
        check_update: update!(storage::runtime_class_update, storage::runtime_class),
        warn_new: warnings::runtime_class_written,
        warn_update: |new, _, warnings| warnings::runtime_class_written(new, warnings),
        ..Rules::NONE
    };

    pub(crate) const CSI_DRIVER: Rules = Rules {
        default: defaults::csi_driver,
        check_new: storage::csi_driver,
        check_update: update!(storage::csi_driver_update, storage::csi_driver),
        ..Rules::NONE
    };

    pub(crate) const CSI_NODE: Rules = Rules {
        check_new: storage::csi_node,
        check_update: update!(storage::csi_node_update, storage::csi_node),
        ..Rules::NONE
    };

    pub(crate) const CSI_STORAGE_CAPACITY: Rules = Rules {
        check_new: storage::csi_storage_capacity,
        check_update: update!(storage::csi_storage_capacity_update, storage::csi_storage_capacity),
        ..Rules::NONE
    };

    pub(crate) const STORAGE_CLASS: Rules = Rules {
        default: defaults::storage_class,
        check_new: storage::storage_class,
        check_update: update!(storage::storage_class_update, storage::storage_class),
        ..Rules::NONE
    };

    pub(crate) const VOLUME_ATTACHMENT: Rules = Rules {
        check_new: storage::volume_attachment,
        check_update: storage::volume_attachment_update,
        check_status: storage::volume_attachment_update,
        ..Rules::NONE
    };

    pub(crate) const VOLUME_ATTRIBUTES_CLASS: Rules = Rules {
        check_new: storage::volume_attributes_class,
        check_update: update!(storage::volume_attributes_class_update, storage::volume_attributes_class),
        ..Rules::NONE
    };
}
