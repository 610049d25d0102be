"""What clients say of TLS leads to the setting that a person has to look at."""

import pytest

from engagement_platform.domain.tls import Fault, Where, fault_of, remedy

WHERE = Where("the server", "AUTHORITY", "ADDRESS", "CERTIFICATE", "PROTOCOL")

SAID = [
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: unable to get local issuer certificate", "AUTHORITY"),
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in chain", "AUTHORITY"),
    ("certificate verify failed: Hostname mismatch, certificate is not valid for 'localhost'", "ADDRESS"),
    ("certificate verify failed: IP address mismatch, certificate is not valid for '10.0.0.1'", "ADDRESS"),
    ('server certificate for "db" does not match host name "localhost"', "ADDRESS"),
    ("certificate verify failed: certificate has expired", "enew the certificate of the server"),
    ("certificate verify failed: certificate is not yet valid", "clock"),
    ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required", "CERTIFICATE"),
    ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca", "CERTIFICATE"),
    ("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired", "CERTIFICATE"),
    ("FATAL: connection requires a valid client certificate", "CERTIFICATE"),
    ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "PROTOCOL"),
    ("[SSL: RECORD_LAYER_FAILURE] record layer failure", "PROTOCOL"),
    ("server does not support SSL, but SSL was required", "PROTOCOL"),
    ('no pg_hba.conf entry for host "::1", user "u", database "d", no encryption', "PROTOCOL"),
]


@pytest.mark.parametrize(("said", "looked_at"), SAID)
def test_a_fault_names_one_setting(said: str, looked_at: str) -> None:
    todo = remedy(said, WHERE)
    assert looked_at in todo
    named = [name for name in ("AUTHORITY", "ADDRESS", "CERTIFICATE", "PROTOCOL") if name in todo]
    assert named in ([looked_at], [])
    assert todo[0].isupper()
    assert todo.endswith(".")


def test_what_nobody_knows_names_them_all() -> None:
    todo = remedy("SSL error: certificate verify failed", WHERE)
    assert fault_of("SSL error: certificate verify failed") is Fault.OTHER
    assert all(name in todo for name in ("AUTHORITY", "ADDRESS", "PROTOCOL", "clock"))
