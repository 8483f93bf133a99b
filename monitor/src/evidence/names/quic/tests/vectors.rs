//! Sample packets of RFC 9001 and RFC 9369, appendix A, in hexadecimal.

/// The CRYPTO frame of appendix A.2, with a `ClientHello` for `example.com`. PADDING fills
/// the payload to 1,162 bytes. Both documents use the same frame.
pub(super) const FRAME: &str = "\
    060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868\
    04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578\
    616d706c652e636f6dff01000100000a00080006001d00170018001000070005\
    04616c706e000500050100000000003300260024001d00209370b2c9caa47fba\
    baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400\
    0d0010000e0403050306030203080408050806002d00020101001c0002400100\
    3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000\
    75300901100f088394c8f03e51570806048000ffff";

/// Length of the payload of appendix A.2, in bytes.
pub(super) const PAYLOAD: usize = 1162;

/// The beginning and the end of a protected packet of appendix A.2. The last 16 bytes are
/// the tag, which authenticates all others.
pub(super) struct Protected {
    pub(super) version: u32,
    pub(super) begin: &'static str,
    pub(super) end: &'static str,
}

/// RFC 9001, appendix A.2.
pub(super) const RFC_9001_A2: Protected = Protected {
    version: 1,
    begin: "\
        c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11\
        d242b123dc9bd8bab936b47d92ec356c0bab7df5976d27cd449f63300099f399",
    end: "\
        7e78bfe706ca4cf5e9c5453e9f7cfd2b8b4c8d169a44e55c88d4a9a7f9474241\
        e221af44860018ab0856972e194cd934",
};

/// RFC 9369, appendix A.2.
pub(super) const RFC_9369_A2: Protected = Protected {
    version: 0x6b33_43cf,
    begin: "\
        d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485\
        dd04de806071bf03dceebfa162e75d6c96058bdbfb127cdfcbf903388e99ad04",
    end: "\
        9a37ddec600545473cfb5a05e08d0b209973b2172b4d21fb69745a262ccde96b\
        a18b2faa745b6fe189cf772a9f84cbfc",
};

/// The protected packet of a server, RFC 9001, appendix A.3.
pub(super) const RFC_9001_A3: &str = "\
    cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a\
    5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf73c3ec2493a1839b3\
    dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84\
    022f8ef4cdd93795d77d06edbb7aaf2f58891850abbdca3d20398c276456cbc4\
    2158407dd074ee";

/// The protected packet of a server, RFC 9369, appendix A.3.
pub(super) const RFC_9369_A3: &str = "\
    dc6b3343cf0008f067a5502a4262b5004075d92faaf16f05d8a4398c47089698\
    baeea26b91eb761d9b89237bbf87263017915358230035f7fd3945d88965cf17\
    f9af6e16886c61bfc703106fbaf3cb4cfa52382dd16a393e42757507698075b2\
    c984c707f0a0812d8cd5a6881eaf21ceda98f4bd23f6fe1a3e2c43edd9ce7ca8\
    4bed8521e2e140";
