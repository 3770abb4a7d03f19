"""ZFS access control lists: NFSv4 entries, in the system attribute ZPL_DACL_ACES or objects of their own.

Specifications: OpenZFS <sys/zfs_acl.h>; for types, flags and masks RFC 7530 section 6.2.1 and illumos
<sys/acl.h>.
"""

from construct import Bytes, Enum, FlagsEnum, Int16un, Int32un, Int64un, Struct

# --- who an entry is about, in z_flags -------------------------------------------------------------

ACE_TYPE_FLAGS = 0x7040
ACE_OWNER = 0x1000
ACE_OWNING_GROUP = 0x2040
ACE_EVERYONE = 0x4000
ACE_OBJECT_TYPES = (5, 6, 7, 8)  # z_type of entries with object types

_header = (
    "z_type"
    / Enum(
        Int16un,
        ALLOW=0,
        DENY=1,
        AUDIT=2,
        ALARM=3,
        ALLOW_OBJECT=5,
        DENY_OBJECT=6,
        AUDIT_OBJECT=7,
        ALARM_OBJECT=8,
    ),
    "z_flags"
    / FlagsEnum(
        Int16un,
        file_inherit=0x1,
        directory_inherit=0x2,
        no_propagate=0x4,
        inherit_only=0x8,
        successful_access=0x10,
        failed_access=0x20,
        identifier_group=0x40,
        inherited=0x80,
        owner=0x1000,
        group=0x2000,
        everyone=0x4000,
    ),
    "z_access_mask"
    / FlagsEnum(
        Int32un,
        read_data=0x1,
        write_data=0x2,
        append_data=0x4,
        read_named_attributes=0x8,
        write_named_attributes=0x10,
        execute=0x20,
        delete_child=0x40,
        read_attributes=0x80,
        write_attributes=0x100,
        delete=0x10000,
        read_acl=0x20000,
        write_acl=0x40000,
        write_owner=0x80000,
        synchronize=0x100000,
    ),
)

zfs_ace_hdr = Struct(*_header)
"""All of an entry about the owner, the owning group or everyone."""

zfs_ace = Struct(*_header, "z_fuid" / Int64un)

zfs_object_ace = Struct(
    *_header, "z_fuid" / Int64un, "z_object_type" / Bytes(16), "z_inherit_type" / Bytes(16)
)

# --- before system attributes ----------------------------------------------------------------------

zfs_acl_phys = Struct(
    "z_acl_extern_obj" / Int64un,  # where the list is when it is too long for here
    "z_acl_size" / Int32un * "bytes",  # in version 0 the number of entries
    "z_acl_version" / Int16un,  # 0: entries are zfs_oldace
    "z_acl_count" / Int16un * "entries",
)
"""The head of zp_acl in znode_phys; 72 bytes of entries follow."""

zfs_oldace = Struct(
    "z_fuid" / Int32un,
    "z_access_mask" / Int32un,
    "z_flags" / Int16un,
    "z_type" / Int16un,
)

ACL_VERSION_FUID = 1
ACE_SLOT_CNT = 6  # entries of version 0 in zp_acl
ZFS_ACE_SPACE = 72  # bytes for entries in zp_acl
ZP_ACL_OFFSET = 176  # in znode_phys
