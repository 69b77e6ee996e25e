"""Commands around the pages: serve them, make the first administrator, change the signing keys."""

from __future__ import annotations

from urllib.parse import urlsplit

import click

from plugin import logs
from plugin import settings as settings_module
from plugin.answering import answering
from plugin.settings import Settings, SettingsError


def _needs_web() -> None:
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise SettingsError("serve: install claimwright[web,smart]") from None


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=int, help="Port (else that of web.public_url, or 8085).")
@answering
def serve(host: str, port: int | None) -> None:
    """Serve the pages: EHR launch, the clinician's page, CDS Hooks, administration.

    Browsers need HTTPS: put a proxy with a certificate in front, and set web.public_url to its address. It sends the Host
    header on as it came.
    """
    _needs_web()
    import uvicorn

    from plugin.web.app import build
    from plugin.web.house import House

    settings = settings_module.load()
    here = port or urlsplit(settings.web.public_url).port or 8085
    click.echo(f"Claimwright is at {settings.web.public_url} (listening on {host}:{here}); press Ctrl-C to stop.")
    logs.set_up(settings.log)
    uvicorn.run(
        build(House.open(settings)), host=host, port=here, log_config=None, access_log=False, server_header=False
    )


@click.command("first-admin")
@answering
def first_admin() -> None:
    """Print a link: who opens it within ten minutes and signs in becomes the administrator, if there is none yet."""
    _needs_web()
    from plugin.store.store import Store
    from plugin.web.signing_in import begin_first_admin

    settings = settings_module.load()
    store = Store.open(settings)
    try:
        if store.people.has_admin():
            raise SettingsError("there is an administrator already; they give roles on the page /admin")
        click.echo(begin_first_admin(store.people, settings.web.public_url.rstrip("/"), _where(settings)))
    finally:
        store.close()


def _where(settings: Settings) -> str:
    """Where the first administrator signs in: the provider if one is set, else the first EHR with an app."""
    if settings.web.sign_in is not None:
        return "provider"
    for ehr in settings.ehrs:
        if ehr.app is not None:
            return ehr.id
    raise SettingsError("web.sign_in or ehr.app: set where people sign in first")


@click.command("rotate-keys")
@answering
def rotate_keys() -> None:
    """Let the next signing keys sign, and publish new ones beside them. EHRs fetch them from /.well-known/jwks.json."""
    _needs_web()
    from plugin.keys import SigningKeys

    SigningKeys.rotate(settings_module.load())
    click.echo("The next keys sign now; the ones after them are published. Restart `claimwright serve`.")


COMMANDS = (serve, first_admin, rotate_keys)
