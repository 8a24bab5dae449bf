//! Every kind of diagnostic: its stable code, how grave it is, and what it means.

use crate::diagnostic::Severity;

/// A kind of diagnostic. The name never changes once published: CI jobs and editors match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    pub name: &'static str,
    pub severity: Severity,
    /// One line for documentation.
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($constant:ident = $severity:ident $name:literal $meaning:literal;)*) => {
        $(pub(crate) const $constant: &Code = &Code { name: $name, severity: Severity::$severity, meaning: $meaning };)*
        /// All codes, in the order of the language's parts.
        pub const CODES: &[&Code] = &[$($constant),*];
    };
}

codes! {
    // text
    OTHER_FILE = Error "other-file" "the file is another one than was expected here; nothing of it is shown";
    SYNTAX = Error "syntax" "the text is not TOML";
    DUPLICATE_KEY = Error "duplicate-key" "a key or table stands twice";
    NESTING_TOO_DEEP = Error "nesting-too-deep" "tables, lists or dotted keys are nested deeper than the language needs";
    INPUT_TOO_LARGE = Error "input-too-large" "the text is longer than a policy source may be";
    TOO_MANY_DIAGNOSTICS = Error "too-many-diagnostics" "further diagnostics were left out";

    // keys and values
    UNKNOWN_KEY = Error "unknown-key" "the language has no such key here";
    RESERVED_KEY = Error "reserved-key" "the key is reserved for a later version of the language";
    MISSING_KEY = Error "missing-key" "a key that must be given is not";
    WRONG_TYPE = Error "wrong-type" "the value has another TOML type than the key needs";
    UNKNOWN_VALUE = Error "unknown-value" "the value is not one of those that the key takes";
    OUT_OF_RANGE = Error "out-of-range" "a number or duration lies outside its bounds";
    BAD_DURATION = Error "bad-duration" "the duration is not written as a number and a unit";
    TOO_LONG = Error "too-long" "a text is longer than its bound";
    TOO_MANY = Error "too-many" "a list or kind of table has more entries than its bound";
    EMPTY_LIST = Error "empty-list" "a list that needs at least one entry has none";
    EMPTY_TEXT = Error "empty-text" "a text that must say something is empty";
    REPEATED_ITEM = Warning "repeated-item" "a list names the same thing twice";

    // names
    BAD_NAME = Error "bad-name" "a name uses characters that names do not have";
    DUPLICATE_NAME = Error "duplicate-name" "two tables of one kind have the same name";
    UNKNOWN_REFERENCE = Error "unknown-reference" "a name refers to a table that does not exist";
    UNUSED = Warning "unused" "nothing refers to this table";

    // policy
    TRANSPORT_NEEDS_CA = Error "transport-needs-ca" "`transport = \"mtls\"` without any client CA admits nobody";
    NOTHING_PERMITTED = Warning "nothing-permitted" "the policy refuses every request";

    // issuer
    DUPLICATE_ISSUER = Error "duplicate-issuer" "two issuers have one `iss` value";
    UNKNOWN_ALGORITHM = Error "unknown-algorithm" "the signature algorithm is not one of the language";
    ALGORITHM_NONE = Error "algorithm-none" "unsigned tokens do not exist here";
    ALGORITHM_MIX = Error "algorithm-mix" "one issuer lists symmetric and asymmetric algorithms";
    HS256_KEYS = Error "hs256-keys" "HS256 keys are secrets and may only come by `watch`";
    HS256 = Warning "hs256" "whoever can verify an HS256 token can also make one";
    KEYS_SOURCE = Error "keys-source" "`keys` needs exactly one of `file`, `watch`, `url` and `discovery`";
    KEYS_PLAIN = Warning "keys-plain" "keys are fetched over plain http, on the gateway's own machine";
    KEYS_MISSING = Error "keys-missing" "an issuer lists `algorithms` and has no `keys`";
    INTROSPECTION_PLAIN = Warning "introspection-plain" "tokens are asked about over plain http, on the gateway's own machine";
    AMBIGUOUS_INTROSPECTION = Error "ambiguous-introspection" "two issuers would be asked about one opaque token";
    BAD_PREFIX = Error "bad-prefix" "the prefix of opaque tokens has other characters than they have, or is that of API keys";
    BAD_URL = Error "bad-url" "the address of a key set is not an https URL";

    // files
    FILE_UNREADABLE = Error "file-unreadable" "a file that the policy embeds cannot be read";
    BAD_JWKS = Error "bad-jwks" "the file is not a JWK Set (RFC 7517 §5)";
    BAD_PEM = Error "bad-pem" "the file holds no PEM certificate, or a broken one";
    PRIVATE_KEY = Error "private-key" "the file holds private key material, which never stands in a policy";
    NO_USABLE_KEY = Error "no-usable-key" "no pinned key fits any listed algorithm";

    // origin
    BAD_ADDRESS = Error "bad-address" "the address of an origin is not `ip:port` or `name:port`";
    NAME_WITHOUT_TLS = Error "name-without-tls" "an origin is addressed by name without verified TLS";
    CREDENTIALS_PASSED = Warning "credentials-passed" "the agents' credentials are passed on to the origin";
    BAD_CREDENTIALS = Error "bad-credentials" "what an origin gets in place of the agents' credentials is malformed";
    CREDENTIAL_PLAIN = Warning "credential-plain" "a secret goes to an origin without TLS";

    // route
    BAD_HOST = Error "bad-host" "the host is not a lower-case host name or `*`";
    BAD_METHOD = Error "bad-method" "the method is not a token, or is CONNECT or TRACE";
    METHOD_CASE = Error "method-case" "methods are case-sensitive and this one is written in lower case";
    BAD_PATH = Error "bad-path" "the path pattern is malformed";
    PATH_NOT_NORMAL = Error "path-not-normal" "a literal segment is not in normal form and can never match";
    SUSPICIOUS_PATH = Warning "suspicious-path" "a literal segment looks like another router's parameter";
    DUPLICATE_ROUTE = Error "duplicate-route" "two routes match exactly the same requests";
    AMBIGUOUS_ROUTES = Warning "ambiguous-routes" "two routes match a common request and neither is the more specific";
    UNREACHABLE_ROUTE = Warning "unreachable-route" "more specific routes take every request of this one";
    OVERLAP_UNCHECKED = Warning "overlap-unchecked" "there are too many overlapping routes to compare them all";

    // agent
    BAD_CERTIFICATE_NAME = Error "bad-certificate-name" "a certificate name is not `spiffe://`, `dns:` or `spki-sha256:`";
    BAD_PROOFS = Error "bad-proofs" "an entry of `identity` is not a set of proofs";
    EXCEPT_WITHOUT_POPULATION = Error "except-without-population" "`except` belongs to `subject = \"*\"`";
    REDUNDANT_EXCEPT = Warning "redundant-except" "an excepted subject is named by an agent, which takes it out anyway";
    SECOND_POPULATION = Error "second-population" "two agents are populations of one issuer";
    MIXED_POPULATION = Error "mixed-population" "an agent is both a population and a single caller";
    SHARED_PROOFS = Error "shared-proofs" "one set of proofs identifies two agents";
    BINDING_NEEDS_CERTIFICATE = Error "binding-needs-certificate" "a token is bound to a certificate that no connection has";
    BINDINGS_DIFFER = Error "bindings-differ" "one token must be bound to this in one set of proofs and not in another";
    UNREACHABLE_ALTERNATIVE = Error "unreachable-alternative" "whoever has these proofs is also another agent, which is refused";
    UNREACHABLE_AGENT = Error "unreachable-agent" "no set of proofs can identify this agent";
    WEAK_ALTERNATIVE = Warning "weak-alternative" "one alternative is weaker than its neighbour";
    SHARED_API_KEY = Error "shared-api-key" "one API key belongs to two agents";
    ANONYMOUS_MIXED = Error "anonymous-mixed" "`anonymous` stands beside other identities";
    SECOND_ANONYMOUS = Error "second-anonymous" "two agents are anonymous";
    ANONYMOUS_UNLIMITED = Warning "anonymous-unlimited" "everybody may call without any limit";
    AGENT_WITHOUT_SCOPES = Warning "agent-without-scopes" "an agent may do nothing";

    // limit
    BAD_LIMIT = Error "bad-limit" "a limit is not written as `N/unit`, with `burst`, `quota` or `per subject`";
    PER_SUBJECT_SINGLE = Error "per-subject-single" "`per subject` on an agent that has no subjects";
    SUBJECTS_WITHOUT_PER_SUBJECT = Error "subjects-without-per-subject" "`subjects` or `on_full` on a limit that does not count subjects";
    DUPLICATE_LIMIT_NAME = Error "duplicate-limit-name" "two limits of one agent have the same name";
    LIMIT_NEVER_BINDS = Warning "limit-never-binds" "another limit of the agent always refuses first";

    // API key
    BAD_SHA256 = Error "bad-sha256" "the hash is not 64 hexadecimal digits";
    DUPLICATE_SHA256 = Error "duplicate-sha256" "two API keys have the same hash";
    SECRET_IN_POLICY = Error "secret-in-policy" "a secret stands in the policy";
    BAD_EXPIRY = Error "bad-expiry" "`expires` is not a date and time with an offset";

    // case
    BAD_CASE = Error "bad-case" "parts of a case contradict each other, or the policy";
    BAD_REQUEST = Error "bad-request" "the request of a case is not written as `METHOD https://host/path`";
    BAD_CLIENT = Error "bad-client" "the client of a case is not an IP address";
    BAD_TIME = Error "bad-time" "`at` is not a date and time with an offset";
}
