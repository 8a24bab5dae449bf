//! Mistakes in test cases.

use super::Mistake;

pub(super) const OF_CASES: &[Mistake] = &[
    ("missing-key", "", "«[[case]]»\nname = \"c\"\nagent = \"bot\"\nexpect = \"permit\"\n"),
    ("missing-key", "", "[[case]]\nname = \"c\"\nagent = \"bot\"\nsteps = [«{ expect = \"permit\" }»]\n"),
    (
        "missing-key",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\ncertificate = \"spiffe://corp.example/bot\"\nexpect = \"permit\"\n",
    ),
    (
        "unknown-key",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\n«exepct» = \"deny\"\nexpect = \"permit\"\n",
    ),
    (
        "duplicate-name",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nexpect = \"deny\"\n[[case]]\nname = «\"c\"»\nrequest = \"GET https://api.example/orders/7\"\nexpect = \"deny\"\n",
    ),
    ("bad-name", "", "[[case]]\nname = «\" \"»\nrequest = \"GET https://api.example/orders/7\"\nexpect = \"deny\"\n"),
    (
        "unknown-reference",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = «\"bott\"»\nexpect = \"permit\"\n",
    ),
    (
        "unknown-reference",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\ntoken = { issuer = «\"crop\"», subject = \"x\" }\nexpect = \"permit\"\n",
    ),
    (
        "unknown-reference",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\napi_key = «\"tool-2\"»\nexpect = \"permit\"\n",
    ),
    (
        "unknown-reference",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nexpect = { decision = \"permit\", scope = «\"order:read\"» }\n",
    ),
    (
        "unknown-reference",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nexpect = { decision = \"permit\", route = «\"reed\"» }\n",
    ),
    (
        "unknown-reference",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nexpect = { decision = \"deny\", limit = «\"hour\"» }\n",
    ),
    (
        "unknown-value",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nexpect = «\"permitted\"»\n",
    ),
    (
        "unknown-value",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nexpect = «\"scope-mising\"»\n",
    ),
    (
        "unknown-value",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nexpect = { decision = «\"allow\"» }\n",
    ),
    (
        "unknown-value",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nexpect = { decision = \"deny\", reason = «\"token-expired\"» }\n",
    ),
    (
        "wrong-type",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nexpect = «true»\n",
    ),
    (
        "bad-case",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nexpect = { decision = \"permit\", «reason» = \"scope-missing\" }\n",
    ),
    (
        "bad-case",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\n«api_key» = \"tool-1\"\nexpect = \"permit\"\n",
    ),
    (
        "bad-case",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\n«subject» = \"alice\"\nexpect = \"permit\"\n",
    ),
    (
        "bad-case",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\n«ca» = \"agents\"\nexpect = \"permit\"\n",
    ),
    (
        "bad-case",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"tool\"\nsubject = «\"alice\"»\nexpect = \"permit\"\n",
    ),
    (
        "bad-case",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"tool\"\nscopes = «[\"orders:read\"]»\nexpect = \"permit\"\n",
    ),
    (
        "bad-case",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"staff\"\nscopes = «[\"orders:read\"]»\nexpect = \"permit\"\n",
    ),
    (
        "bad-case",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\ntoken = { issuer = \"corp\", subject = «\"*\"» }\nexpect = \"permit\"\n",
    ),
    (
        "bad-case",
        "",
        "[[case]]\nname = \"c\"\nrequest = «\"GET http://api.example/orders/7\"»\nagent = \"bot\"\nexpect = \"permit\"\n",
    ),
    (
        "bad-case",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\n«expect» = \"permit\"\nsteps = [{ expect = \"permit\" }]\n",
    ),
    (
        "out-of-range",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nalternative = «2»\nexpect = \"permit\"\n",
    ),
    (
        "out-of-range",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nsteps = [{ repeat = «0», expect = \"permit\" }]\n",
    ),
    (
        "bad-duration",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nagent = \"bot\"\nsteps = [{ after = «\"1 second\"», expect = \"permit\" }]\n",
    ),
    ("bad-request", "", "[[case]]\nname = \"c\"\nrequest = «\"/orders/7\"»\nexpect = \"deny\"\n"),
    ("bad-request", "", "[[case]]\nname = \"c\"\nrequest = \"GET «/orders/7»\"\nexpect = \"deny\"\n"),
    ("bad-request", "", "[[case]]\nname = \"c\"\nrequest = \"GET https://«a..b»/orders/7\"\nexpect = \"deny\"\n"),
    ("bad-request", "", "[[case]]\nname = \"c\"\nrequest = \"GET https://a/orders« »7\"\nexpect = \"deny\"\n"),
    ("method-case", "", "[[case]]\nname = \"c\"\nrequest = \"«get» https://a/orders/7\"\nexpect = \"deny\"\n"),
    ("bad-method", "", "[[case]]\nname = \"c\"\nrequest = \"«TRACE» https://a/orders/7\"\nexpect = \"deny\"\n"),
    (
        "bad-client",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nclient = «\"192.0.2.1:80\"»\nexpect = \"deny\"\n",
    ),
    (
        "bad-time",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\nat = «2027-01-31T00:00:00»\nexpect = \"deny\"\n",
    ),
    (
        "secret-in-policy",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\napi_key = «\"adm_tool-1_abcdefgh\"»\nexpect = \"deny\"\n",
    ),
    (
        "secret-in-policy",
        "",
        "[[case]]\nname = \"c\"\nrequest = \"GET https://api.example/orders/7\"\ntoken = «\"eyJhbGciOiJFUzI1NiJ9.e30.c2ln\"»\nexpect = \"deny\"\n",
    ),
    ("file-unreadable", "name = \"p\"", "name = \"p\"\ncases = [«\"none.cases\"»]"),
];
