"""TLS of clusters and listeners, and the secrets of SDS -> tables `tls` and PEM by name.

A certificate that stands in the resource itself gets a name made of its bytes; one of SDS keeps its
own. `cert = "source:NAME"` names it in the table.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from proxy.sources.xds.reading import Reader, Refused, which

VERSIONS = {0: None, 3: "1.2", 4: "1.3"}  # TlsParameters.TlsProtocol
ALPN = frozenset(("h2", "http/1.1"))
SOURCE = "source:"


@dataclass(slots=True)
class Tls:
    """A table `tls`, and what it takes: names of SDS, PEM that came along."""

    table: dict[str, Any] = field(default_factory=dict)
    certificates: set[str] = field(default_factory=set)  # names that SDS must bring
    authorities: set[str] = field(default_factory=set)
    own_certificates: dict[str, tuple[bytes, bytes]] = field(default_factory=dict)
    own_authorities: dict[str, bytes] = field(default_factory=dict)


NO_TLS = Tls()  # of ten thousand clusters; not to be changed


@dataclass(frozen=True, slots=True)
class Secret:
    """What SDS brings: one of the two."""

    name: str
    certificate: tuple[bytes, bytes] | None = None
    authority: bytes | None = None


def map_client(context: Any, reader: Reader) -> Tls:
    """UpstreamTlsContext."""
    reader.only(context, "common_tls_context", "sni")
    made = Tls()
    _common(context.common_tls_context, made, reader)
    if len(made.table.get("certificates", ())) > 1:
        raise Refused("CommonTlsContext: a cluster has one certificate")
    for one in made.table.pop("certificates", ()):
        made.table.update(one)
    if context.sni:
        made.table["server_name"] = context.sni
    if not _validates(context.common_tls_context):
        made.table["verify"] = False
    return made


def map_server(context: Any, reader: Reader) -> Tls:
    """DownstreamTlsContext, as the table of a listener."""
    reader.only(context, "common_tls_context", "require_client_certificate")
    made = Tls()
    common = context.common_tls_context
    _common(common, made, reader)
    shown = made.table.pop("certificates", [])
    if not shown:
        raise Refused("DownstreamTlsContext has no certificate")
    made.table.update(shown[0])
    if shown[1:]:
        made.table["certificates"] = shown[1:]
    if made.table.pop("identities", None) or made.table.pop("server_name", None):
        raise Refused("CertificateValidationContext: names of clients are not supported")
    authority = made.table.pop("ca", "")
    if authority:
        made.table["client_ca"] = authority
        requires = context.require_client_certificate.value
        made.table["client"] = "require" if requires else "request"
    elif context.require_client_certificate.value:
        raise Refused("DownstreamTlsContext.require_client_certificate needs a trusted_ca")
    return made


def map_secret(secret: Any, reader: Reader) -> Secret:
    reader.only(secret, "name", "tls_certificate", "validation_context")
    kind = which(secret, "type")
    if kind == "tls_certificate":
        return Secret(secret.name, certificate=_pair(secret.tls_certificate, reader))
    if kind != "validation_context":
        raise Refused(f"Secret.{kind or 'type'} is not supported")
    reader.only(secret.validation_context, "trusted_ca")
    return Secret(
        secret.name, authority=_inline(secret.validation_context.trusted_ca, "trusted_ca")
    )


def _common(common: Any, made: Tls, reader: Reader) -> None:
    reader.only(
        common, "tls_params", "tls_certificates", "tls_certificate_sds_secret_configs",
        "validation_context", "validation_context_sds_secret_config",
        "combined_validation_context", "alpn_protocols",
    )  # fmt: skip
    if not ALPN.issuperset(common.alpn_protocols):
        raise Refused(
            f"CommonTlsContext.alpn_protocols {list(common.alpn_protocols)} not supported"
        )
    if common.HasField("tls_params"):
        _versions(common.tls_params, made, reader)
    shown = [_certificate(one, made, reader) for one in common.tls_certificates]
    for config in common.tls_certificate_sds_secret_configs:
        made.certificates.add(_sds(config, reader))
        shown.append({"cert": SOURCE + config.name, "key": SOURCE + config.name})
    if shown:
        made.table["certificates"] = shown
    kind = which(common, "validation_context_type")
    if kind == "validation_context":
        _validation(common.validation_context, made, reader)
    elif kind == "combined_validation_context":
        both = common.combined_validation_context
        reader.only(both, "default_validation_context", "validation_context_sds_secret_config")
        _validation(both.default_validation_context, made, reader)
        _authority(both.validation_context_sds_secret_config, made, reader)
    elif kind == "validation_context_sds_secret_config":
        _authority(common.validation_context_sds_secret_config, made, reader)


def _validates(common: Any) -> bool:
    kind = which(common, "validation_context_type")
    if kind != "validation_context":
        return bool(kind)
    context = common.validation_context
    return bool(context.HasField("trusted_ca") or context.HasField("system_root_certs"))


def _versions(params: Any, made: Tls, reader: Reader) -> None:
    reader.only(params, "tls_minimum_protocol_version", "tls_maximum_protocol_version")
    least, most = params.tls_minimum_protocol_version, params.tls_maximum_protocol_version
    if least not in VERSIONS or most not in (0, 4):
        raise Refused("TlsParameters: TLS is spoken from 1.2 or 1.3 up to 1.3")
    if version := VERSIONS[least]:
        made.table["min"] = version


def _certificate(certificate: Any, made: Tls, reader: Reader) -> dict[str, str]:
    chain, key = certificate.certificate_chain, certificate.private_key
    if chain.HasField("filename") and key.HasField("filename"):
        reader.only(certificate, "certificate_chain", "private_key")
        return {"cert": chain.filename, "key": key.filename}
    pair = _pair(certificate, reader)
    name = _name(pair[0])
    made.own_certificates[name] = pair
    return {"cert": SOURCE + name, "key": SOURCE + name}


def _pair(certificate: Any, reader: Reader) -> tuple[bytes, bytes]:
    reader.only(certificate, "certificate_chain", "private_key")
    chain = _inline(certificate.certificate_chain, "certificate_chain")
    return chain, _inline(certificate.private_key, "private_key")


def _validation(context: Any, made: Tls, reader: Reader) -> None:
    reader.only(context, "trusted_ca", "match_typed_subject_alt_names", "system_root_certs")
    for matcher in context.match_typed_subject_alt_names:
        reader.only(matcher, "san_type", "matcher")
        reader.only(matcher.matcher, "exact")
        name = matcher.matcher.exact
        if matcher.san_type == 3:  # URI
            made.table.setdefault("identities", []).append(name)
        elif matcher.san_type == 2 and made.table.setdefault("server_name", name) == name:  # DNS
            continue
        else:
            raise Refused("SubjectAltNameMatcher is supported for URIs, and for one DNS name")
    if context.HasField("trusted_ca"):
        source = context.trusted_ca
        if source.HasField("filename"):
            made.table["ca"] = source.filename
            return
        pem = _inline(source, "trusted_ca")
        made.own_authorities[_name(pem)] = pem
        made.table["ca"] = SOURCE + _name(pem)


def _authority(config: Any, made: Tls, reader: Reader) -> None:
    made.authorities.add(_sds(config, reader))
    made.table["ca"] = SOURCE + config.name


def _sds(config: Any, reader: Reader) -> str:
    """The name of a secret, which comes by the same stream."""
    reader.only(config, "name", "sds_config")
    check_source(config.sds_config, "SdsSecretConfig.sds_config")
    return str(config.name)


def check_source(source: Any, where: str) -> None:
    """Refused for a ConfigSource that is another server's."""
    kind = which(source, "config_source_specifier")
    if kind not in ("ads", "self"):
        raise Refused(f"{where}.{kind or 'ads'} is not supported: all comes by ADS")


def _inline(source: Any, where: str) -> bytes:
    kind = which(source, "specifier")
    if kind == "inline_string":
        return bytes(source.inline_string.encode())
    if kind == "inline_bytes":
        return bytes(source.inline_bytes)
    raise Refused(f"{where}.{kind or 'specifier'} is not supported")


def _name(pem: bytes) -> str:
    return f"inline-{sha256(pem).hexdigest()[:16]}"
