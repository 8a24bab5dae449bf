//! One mistake at a time: each in a policy that is right otherwise, with its place between « and ».

mod of_cases;

use of_cases::OF_CASES;

/// A mistake: codes found (the marked one first), what is replaced in the base policy (nothing: appended), by what.
pub(super) type Mistake = (&'static str, &'static str, &'static str);

/// Every one, in the order of the language's parts.
pub(super) fn all() -> impl Iterator<Item = &'static Mistake> {
    MISTAKES.iter().chain(OF_CASES)
}

const MISTAKES: &[Mistake] = &[
    // text
    ("syntax", "name = \"p\"", "name = «p»"),
    ("syntax", "audience = [\"api\"]", "audience = «[»\"api\""),
    ("syntax", "name = \"tool\"", "name «\"»tool\""),
    ("duplicate-key", "host = \"api.example\"", "host = \"api.example\"\n«host» = \"other.example\""),
    ("duplicate-key", "", "[«policy»]\nname = \"q\"\n"),
    // keys
    ("unknown-key", "methods = [\"GET\"]", "methods = [\"GET\"]\n«hosts» = \"api.example\""),
    ("unknown-key", "", "[[«agents»]]\nname = \"x\"\n"),
    ("unknown-key", "name = \"p\"", "name = \"p\"\n«version» = 3"),
    ("reserved-key", "path = \"/orders/{id}\"", "path = \"/orders/{id}\"\n«timeout» = \"3s\""),
    ("reserved-key", "addresses = [\"10.0.0.5:80\"]", "addresses = [\"10.0.0.5:80\"]\n«protocol» = \"h2\""),
    ("missing-key", "[[route]]\nname = \"read\"\nhost = \"api.example\"\n", "«[[route]]»\nname = \"read\"\n"),
    ("missing-key", "ca = \"agents\", token", "token"),
    ("missing-key", "{ token = { issuer = \"corp\", subject = \"*\" } }", "{ token = «{ issuer = \"corp\" }» }"),
    ("wrong-type", "audience = [\"api\"]", "audience = «\"api\"»"),
    ("wrong-type", "name = \"p\"", "name = «3»"),
    ("wrong-type", "id = \"tool-1\"", "id = \"tool-1\"\nexpires = «\"2027-01-31T00:00:00Z\"»"),
    ("wrong-type", "path = \"/orders/{id}\"", "path = \"/orders/{id}\"\nencoded_slash = «\"true\"»"),
    ("wrong-type", "certificates = { file = \"agents-ca.pem\" }", "certificates = «\"agents-ca.pem\"»"),
    ("wrong-type", "agents-ca.pem\" }", "agents-ca.pem\" }\ncrl = «\"agents.crl\"»"),
    (
        "wrong-type",
        "agents-ca.pem\" }",
        "agents-ca.pem\" }\ncrl = { watch = \"a.crl\", enforce_expiration = «\"yes\"» }",
    ),
    ("missing-key", "agents-ca.pem\" }", "agents-ca.pem\" }\ncrl = «{ enforce_expiration = true }»"),
    ("empty-text", "agents-ca.pem\" }", "agents-ca.pem\" }\ncrl = { watch = «\"\"» }"),
    ("unknown-key", "agents-ca.pem\" }", "agents-ca.pem\" }\ncrl = { watch = \"a.crl\", «url» = \"https://a/\" }"),
    ("unknown-value", "name = \"p\"", "name = \"p\"\naudit = «\"quened\"»"),
    ("unknown-value", "addresses = [\"10.0.0.5:80\"]", "addresses = [\"10.0.0.5:80\"]\ncredentials = «\"keep\"»"),
    ("empty-list", "audience = [\"api\"]", "audience = «[]»"),
    ("empty-text", "issuer = \"https://id.example\"", "issuer = «\" \"»"),
    ("repeated-item", "audience = [\"api\"]", "audience = [\"api\", «\"api\"»]"),
    // names
    ("bad-name", "name = \"p\"", "name = \"«O»rders Edge\""),
    ("bad-name", "name = \"tool\"", "name = \"«.»tool\""),
    ("duplicate-name", "name = \"tool\"", "name = «\"bot\"»"),
    ("unknown-reference", "origin = \"orders\"", "origin = «\"order\"»"),
    ("unknown-reference", "routes = [\"read\"]", "routes = [\"read\", «\"zzz\"»]"),
    ("unused", "", "[[origin]]\nname = «\"spare\"»\naddresses = [\"10.0.0.9:80\"]\n"),
    ("unused", "", "[[scope]]\nname = «\"Spare.Read\"»\nroutes = [\"read\"]\n"),
    ("unused", "", "[[api_key]]\nid = «\"spare\"»\n"),
    // issuer
    ("unknown-algorithm", "algorithms = [\"ES256\"]", "algorithms = [\"ES256\", «\"ES265\"»]"),
    ("algorithm-none", "algorithms = [\"ES256\"]", "algorithms = [«\"none\"»]"),
    ("algorithm-mix", "algorithms = [\"ES256\"]", "algorithms = [\"ES256\", «\"HS256\"»]"),
    (
        "hs256-keys hs256",
        "algorithms = [\"ES256\"]\nkeys = { file = \"corp.jwks.json\" }",
        "algorithms = [\"HS256\"]\nkeys = «{ file = \"corp.jwks.json\" }»",
    ),
    (
        "hs256",
        "algorithms = [\"ES256\"]\nkeys = { file = \"corp.jwks.json\" }",
        "algorithms = [«\"HS256\"»]\nkeys = { watch = \"/etc/adamant/corp.jwks.json\" }",
    ),
    ("keys-source", "keys = { file = \"corp.jwks.json\" }", "keys = «{}»"),
    ("keys-source", "keys = { file = \"corp.jwks.json\" }", "keys = «{ file = \"corp.jwks.json\", watch = \"/k\" }»"),
    ("keys-source", "keys = { file = \"corp.jwks.json\" }", "keys = { watch = \"/k\", «refresh» = \"1h\" }"),
    (
        "bad-url",
        "{ file = \"corp.jwks.json\" }",
        "{ url = \"«http://»id.example/k\", refresh = \"10m\", max_stale = \"1d\", ca = \"system\" }",
    ),
    (
        "secret-in-policy",
        "{ file = \"corp.jwks.json\" }",
        "{ url = \"https://«u:p@id.example»/k\", refresh = \"10m\", max_stale = \"1d\", ca = \"system\" }",
    ),
    (
        "keys-plain",
        "{ file = \"corp.jwks.json\" }",
        "{ url = «\"http://127.0.0.1:8200/k\"», refresh = \"10m\", max_stale = \"1d\" }",
    ),
    (
        "keys-source",
        "{ file = \"corp.jwks.json\" }",
        "{ url = \"http://127.0.0.1/k\", refresh = \"10m\", max_stale = \"1d\", «ca» = \"system\" }",
    ),
    (
        "missing-key",
        "{ file = \"corp.jwks.json\" }",
        "«{ url = \"https://id.example/k\", refresh = \"10m\", max_stale = \"1d\" }»",
    ),
    (
        "bad-url",
        "{ file = \"corp.jwks.json\" }",
        "{ discovery = «\"https://id.example?a\"», refresh = \"10m\", max_stale = \"1d\", ca = \"system\" }",
    ),
    (
        "out-of-range",
        "{ file = \"corp.jwks.json\" }",
        "{ url = \"https://id.example/k\", refresh = \"1h\", max_stale = «\"10m\"», ca = \"system\" }",
    ),
    ("out-of-range", "name = \"corp\"", "name = \"corp\"\nleeway = «\"10m\"»"),
    ("bad-duration", "name = \"corp\"", "name = \"corp\"\nleeway = «\"30 seconds\"»"),
    (
        "duplicate-issuer unused",
        "",
        "[[issuer]]\nname = \"again\"\nissuer = «\"https://id.example\"»\naudience = [\"api\"]\nalgorithms = [\"ES256\"]\nkeys = { watch = \"/k\" }\n",
    ),
    // files
    ("file-unreadable", "\"corp.jwks.json\"", "«\"corp.jwk.json\"»"),
    ("file-unreadable", "\"agents-ca.pem\"", "«\"binary.pem\"»"),
    ("file-unreadable", "\"agents-ca.pem\"", "«\"large.pem\"»"),
    ("bad-jwks", "\"corp.jwks.json\"", "«\"text.json\"»"),
    ("bad-jwks", "\"corp.jwks.json\"", "«\"empty.json\"»"),
    ("private-key", "\"corp.jwks.json\"", "«\"private.json\"»"),
    ("private-key", "\"agents-ca.pem\"", "«\"private.pem\"»"),
    ("no-usable-key", "\"corp.jwks.json\"", "«\"rsa.json\"»"),
    ("too-many", "\"corp.jwks.json\"", "«\"many.json\"»"),
    ("bad-pem", "\"agents-ca.pem\"", "«\"text.pem\"»"),
    ("bad-pem", "\"agents-ca.pem\"", "«\"cut.pem\"»"),
    // origin
    ("bad-address", "\"10.0.0.5:80\"", "\"«http://»10.0.0.5:80\""),
    ("bad-address", "\"10.0.0.5:80\"", "«\"10.0.0.5\"»"),
    ("bad-address", "\"10.0.0.5:80\"", "\"«10.0.0.500»:80\""),
    ("bad-address", "\"10.0.0.5:80\"", "\"10.0.0.5:«99999»\""),
    ("repeated-item", "\"10.0.0.5:80\"", "\"[::1]:80\", «\"[0::1]:80\"»"),
    ("name-without-tls", "\"10.0.0.5:80\"", "«\"orders.corp.example:80\"»"),
    (
        "bad-credentials",
        "addresses = [\"10.0.0.5:80\"]",
        "addresses = [\"127.0.0.1:80\"]\ncredentials = { from = \"k\", header = \"X«:»Key\" }",
    ),
    (
        "bad-credentials",
        "addresses = [\"10.0.0.5:80\"]",
        "addresses = [\"127.0.0.1:80\"]\ncredentials = { from = \"k\", header = «\"\"» }",
    ),
    (
        "bad-credentials",
        "addresses = [\"10.0.0.5:80\"]",
        "addresses = [\"127.0.0.1:80\"]\ncredentials = «{ from = \"k\", header = \"Authorization\" }»",
    ),
    (
        "secret-in-policy",
        "addresses = [\"10.0.0.5:80\"]",
        "addresses = [\"127.0.0.1:80\"]\ncredentials = { from = \"k\", header = \"X-Key\", value = «\"hunter2-hunter2\"» }",
    ),
    (
        "bad-credentials",
        "addresses = [\"10.0.0.5:80\"]",
        "addresses = [\"127.0.0.1:80\"]\ncredentials = { from = \"k\", header = \"X-Key\", value = «\"{secret} {secret}\"» }",
    ),
    (
        "bad-credentials",
        "addresses = [\"10.0.0.5:80\"]",
        "addresses = [\"127.0.0.1:80\"]\ncredentials = { from = \"k\", header = \"X-Key\", value = «\"{secret} \"» }",
    ),
    (
        "bad-credentials",
        "addresses = [\"10.0.0.5:80\"]",
        "addresses = [\"127.0.0.1:80\"]\ncredentials = { from = \"k\", header = \"X-Key\", value = \"{secret}«é»\" }",
    ),
    (
        "missing-key",
        "addresses = [\"10.0.0.5:80\"]",
        "addresses = [\"127.0.0.1:80\"]\ncredentials = «{ header = \"X-Key\" }»",
    ),
    (
        "unknown-key secret-in-policy",
        "addresses = [\"10.0.0.5:80\"]",
        "addresses = [\"127.0.0.1:80\"]\ncredentials = { from = \"k\", header = \"X-Key\", «secret» = \"hunter2\" }",
    ),
    (
        "credential-plain",
        "addresses = [\"10.0.0.5:80\"]",
        "addresses = [\"10.0.0.5:80\"]\ncredentials = «{ from = \"k\", header = \"X-Key\" }»",
    ),
    ("credentials-passed", "addresses = [\"10.0.0.5:80\"]", "addresses = [\"10.0.0.5:80\"]\ncredentials = «\"pass\"»"),
    // route
    ("bad-host", "host = \"api.example\"", "host = \"«https://»api.example\""),
    ("bad-host", "host = \"api.example\"", "host = \"api.example«:443»\""),
    ("bad-host", "host = \"api.example\"", "host = \"«*».example\""),
    ("bad-host", "host = \"api.example\"", "host = \"api«.».example\""),
    ("bad-method", "methods = [\"GET\"]", "methods = [\"GET«,» HEAD\"]"),
    ("bad-method", "methods = [\"GET\"]", "methods = [\"GET\", «\"TRACE\"»]"),
    ("bad-method", "methods = [\"GET\"]", "methods = [«\"*\"», \"GET\"]"),
    ("method-case", "methods = [\"GET\"]", "methods = [«\"get\"»]"),
    ("bad-path", "path = \"/orders/{id}\"", "path = «\"orders/{id}\"»"),
    ("bad-path", "path = \"/orders/{id}\"", "path = \"/orders«//»{id}\""),
    ("bad-path", "path = \"/orders/{id}\"", "path = \"/«{rest...}»/orders\""),
    ("bad-path", "path = \"/orders/{id}\"", "path = \"/{id}/«{id}»\""),
    ("bad-path", "path = \"/orders/{id}\"", "path = \"/«order-{id}»\""),
    ("bad-path", "path = \"/orders/{id}\"", "path = \"/orders/«*»\""),
    ("bad-path", "path = \"/orders/{id}\"", "path = \"/orders«?all»\""),
    (
        "bad-path",
        "path = \"/orders/{id}\"",
        "path = «\"/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3/4/5/6/7/8/9/0/1/2/3\"»",
    ),
    ("path-not-normal", "path = \"/orders/{id}\"", "path = \"/«%6frders»\""),
    ("path-not-normal", "path = \"/orders/{id}\"", "path = \"/«café»\""),
    ("path-not-normal", "path = \"/orders/{id}\"", "path = \"/orders/«..»\""),
    ("path-not-normal", "path = \"/orders/{id}\"", "path = \"/a«%2F»b\""),
    ("path-not-normal", "path = \"/orders/{id}\"", "path = \"/a«;v=1»\""),
    ("suspicious-path", "path = \"/orders/{id}\"", "path = \"/orders/«:id»\""),
    (
        "duplicate-route unused",
        "",
        "[[route]]\nname = \"again\"\nhost = \"API.example\"\nmethods = [\"HEAD\", \"GET\"]\npath = «\"/orders/{order}\"»\norigin = \"orders\"\n",
    ),
    (
        "duplicate-route",
        "routes = [\"read\"]",
        "routes = [\"read\", \"any\"]\n[[route]]\nname = \"any\"\nhost = \"api.example\"\nmethods = \"*\"\npath = «\"/orders/{id}\"»\norigin = \"orders\"\n",
    ),
    (
        "ambiguous-routes",
        "routes = [\"read\"]",
        "routes = [\"read\", \"new\"]\n[[route]]\nname = \"new\"\nhost = \"api.example\"\nmethods = [\"GET\"]\npath = «\"/{kind}/new\"»\norigin = \"orders\"\n",
    ),
    (
        "unreachable-route",
        "routes = [\"read\"]",
        concat!(
            "routes = [\"read\", \"all\", \"none\", \"deep\"]\n",
            "[[route]]\nname = \"all\"\nhost = \"api.example\"\nmethods = [\"GET\"]\npath = «\"/orders/{rest...}\"»\norigin = \"orders\"\n",
            "[[route]]\nname = \"none\"\nhost = \"api.example\"\nmethods = [\"GET\"]\npath = \"/orders/\"\norigin = \"orders\"\n",
            "[[route]]\nname = \"deep\"\nhost = \"api.example\"\nmethods = \"*\"\npath = \"/orders/{id}/{rest...}\"\norigin = \"orders\"\n",
        ),
    ),
    // agent
    ("bad-certificate-name", "\"spiffe://corp.example/bot\"", "«\"bot.corp.example\"»"),
    ("bad-certificate-name", "\"spiffe://corp.example/bot\"", "\"spiffe://«corp.example»\""),
    ("bad-certificate-name", "\"spiffe://corp.example/bot\"", "\"spki-sha256:«abc»\""),
    ("bad-proofs unused", "[{ api_key = [\"tool-1\"] }]", "[«{}»]"),
    ("bad-proofs", "[{ api_key = [\"tool-1\"] }]", "[«\"everyone\"»]"),
    ("bad-proofs", "certificate = \"spiffe://corp.example/bot\", ca = ", "«ca» = "),
    ("except-without-population", "subject = \"bot\"", "subject = \"bot\", «except» = [\"x\"]"),
    ("redundant-except", "subject = \"*\"", "subject = \"*\", except = [«\"bot\"», \"mallory\"]"),
    (
        "second-population",
        "{ api_key = [\"tool-1\"] }",
        "«{ token = { issuer = \"corp\", subject = \"*\" }, api_key = [\"tool-1\"] }»",
    ),
    (
        "second-population",
        "[{ token = { issuer = \"corp\", subject = \"*\" } }]",
        "[{ token = { issuer = \"corp\", subject = \"*\" }, certificate = \"dns:a.example\", ca = \"agents\" }, «{ token = { issuer = \"corp\", subject = \"*\", except = [\"x\"] }, certificate = \"dns:b.example\", ca = \"agents\" }»]",
    ),
    (
        "mixed-population",
        "[{ token = { issuer = \"corp\", subject = \"*\" } }]",
        "[{ token = { issuer = \"corp\", subject = \"*\" } }, «{ certificate = \"dns:b.example\", ca = \"agents\" }»]",
    ),
    (
        "shared-proofs",
        "",
        "[[agent]]\nname = \"bot2\"\nscopes = [\"orders:read\"]\nidentity = [«{ certificate = \"spiffe://corp.example/bot\", ca = \"agents\", token = { issuer = \"corp\", subject = \"bot\" } }»]\n",
    ),
    (
        "unreachable-agent",
        "",
        "[[agent]]\nname = \"half\"\nscopes = [\"orders:read\"]\nidentity = [{ certificate = \"spiffe://corp.example/bot\", ca = \"agents\" }]\n",
    ),
    ("unreachable-agent", "[{ token = { issuer = \"corp\", subject = \"*\" } }]", "«[]»"),
    (
        "unreachable-alternative weak-alternative",
        "identity = [{ api_key = [\"tool-1\"] }]",
        "identity = [{ api_key = [\"tool-1\"] }, «{ certificate = \"spiffe://corp.example/bot\", ca = \"agents\", token = { issuer = \"corp\", subject = \"bot\" }, api_key = [\"tool-1\"] }»]",
    ),
    (
        "weak-alternative",
        "subject = \"bot\" } }]",
        "subject = \"bot\" } }, «{ api_key = [\"bot-1\"] }»]\nscopes = [\"orders:read\"]\n[[api_key]]\nid = \"bot-1\"\n[[agent]]\nname = \"last\"\nidentity = [{ certificate = \"dns:last\", ca = \"agents\" }]",
    ),
    (
        "weak-alternative",
        "subject = \"bot\" } }]",
        "subject = \"bot\" } }, «{ token = { issuer = \"corp\", subject = \"bot2\" } }»]",
    ),
    ("repeated-item", "[{ api_key = [\"tool-1\"] }]", "[{ api_key = [\"tool-1\"] }, «{ api_key = [\"tool-1\"] }»]"),
    (
        "shared-api-key",
        "{ issuer = \"corp\", subject = \"bot\" }",
        "{ issuer = \"corp\", subject = \"bot\" }, api_key = [\"tool-1\"]",
    ),
    (
        "anonymous-mixed",
        "[{ api_key = [\"tool-1\"] }]",
        "[{ api_key = [\"tool-1\"] }, «\"anonymous\"»]\nlimits = [\"1/second\"]",
    ),
    (
        "second-anonymous",
        "",
        "[[agent]]\nname = \"e1\"\nidentity = [\"anonymous\"]\nscopes = [\"orders:read\"]\nlimits = [\"1/second\"]\n[[agent]]\nname = \"e2\"\nidentity = [«\"anonymous\"»]\nscopes = [\"orders:read\"]\nlimits = [\"1/second\"]\n",
    ),
    (
        "anonymous-unlimited",
        "",
        "«[[agent]]»\nname = \"everybody\"\nidentity = [\"anonymous\"]\nscopes = [\"orders:read\"]\n",
    ),
    (
        "agent-without-scopes",
        "[{ api_key = [\"tool-1\"] }]\nscopes = [\"orders:read\"]",
        "[{ api_key = [\"tool-1\"] }]\nscopes = «[]»",
    ),
    // limits
    ("bad-limit", "\"60/minute\"", "\"60/«min»\""),
    ("bad-limit", "\"60/minute\"", "\"60/minute «bursts» 5\""),
    ("bad-limit", "\"60/minute\"", "\"«1_000»/minute\""),
    ("bad-limit", "\"60/minute\"", "\"60/minute «burst 5» quota\""),
    ("bad-limit", "\"60/minute\"", "\"«often»\""),
    ("out-of-range", "\"60/minute\"", "\"«0»/minute\""),
    ("out-of-range", "\"60/minute\"", "\"1/day «burst 1000»\""),
    ("per-subject-single", "\"60/minute\"", "\"60/minute «per subject»\""),
    ("subjects-without-per-subject", "\"60/minute\"", "{ limit = \"60/minute\", «subjects» = 5 }"),
    (
        "out-of-range",
        "[{ token = { issuer = \"corp\", subject = \"*\" } }]",
        "[{ token = { issuer = \"corp\", subject = \"*\" } }]\nlimits = [{ limit = \"1/second per subject\", subjects = «0» }]",
    ),
    ("duplicate-limit-name", "\"60/minute\"", "\"60/minute\", «\"90/minute burst 10\"»"),
    ("limit-never-binds", "\"60/minute\"", "\"60/minute\", «\"10000/hour quota\"»"),
    ("limit-never-binds", "\"60/minute\"", "\"60/minute\", «\"7200/hour\"»"),
    (
        "too-many",
        "[\"60/minute\"]",
        "«[\"1/day\", \"1/day\", \"1/day\", \"1/day\", \"1/day\", \"1/day\", \"1/day\", \"1/day\", \"1/day\"]»",
    ),
    // API key
    (
        "bad-sha256",
        "id = \"tool-1\"\nsha256 = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        "id = \"tool-1\"\nsha256 = «\"abc\"»",
    ),
    (
        "secret-in-policy",
        "id = \"tool-1\"\nsha256 = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        "id = \"tool-1\"\nsha256 = «\"adm_tool-1_abcdefgh\"»",
    ),
    (
        "duplicate-sha256 unused",
        "",
        "[[api_key]]\nid = \"other\"\nsha256 = «\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"»\n",
    ),
    ("bad-expiry", "id = \"tool-1\"", "id = \"tool-1\"\nexpires = «2027-01-31»"),
    ("bad-expiry", "id = \"tool-1\"", "id = \"tool-1\"\nexpires = «2027-01-31T00:00:00»"),
];
