"""Passwords that guessing tools try first, in lower case; digits and signs around are stripped before the look-up."""

from functools import cache
from pathlib import Path

LIST = Path(__file__).with_suffix(".txt")
# What the list of those that people choose most often lacks: names of programs, and passwords that guides begin with.
OURS = frozenset(
    """
    1234qwer 123qwe 123qweasd 12qwaszx 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 1qazxsw2 a1b2c3d4 aa123456 abc12345
    abcd1234 abcdefgh abcdefghi access access14 admin admin123 adminadmin administrator alejandro alexander
    amanda andrew angel angels arsenal asdf1234 asdfasdf asdfghjk asdfghjkl ashley asshole autumn azerty baby
    babygirl banana barcelona baseball basketball batman benjamin blessed blink182 bullshit business
    butterfly carlos celery change_me changeit changeme charlie cheese chelsea chocolate christian company
    computer contrasena cookie corvette crystal daniel database december default demo demodemo diamond docker
    dragon elizabeth example family february fernando ferrari flask flower football forever fortnite freedom
    friday friends fuckoff fuckyou gandalf garfield george golden goodluck guest guestguest hannah heaven
    hello hello123 hellokitty helloworld hunter hunter2 iloveu iloveyou iloveyou1 internet isabella january
    jennifer jessica jesus jesuschrist jordan jordan23 joshua killer kubernetes lakers letmein liverpool
    login loginlogin lovely loveme manchester maria marlboro master matrix matthew maverick mercedes merlin
    metallica michael michelle midnight minecraft monday money monkey motdepasse mustang naruto natasha
    nicole nirvana november october office oliver orange p@ssw0rd p@ssword pa$$word pa55word passpass
    passphrase passw0rd password passwort patricia phoenix pokemon porsche postgres postgresql princess
    purple pussy python q1w2e3r4 q1w2e3r4t5 qazwsxedc qweasdzxc qwer1234 qwerty qwertyui qwertyuiop qwertz
    rabbitmq ricardo roberto root rootroot samantha scooby scorpion secret secret1 senha september server
    shadow silver slipknot snoopy sophie spiderman spring startrek starwars success summer sunshine superman
    taskledger taskledger1 temp temporary test test1234 testing testing1 testtest thomas thunder tigger
    tinkerbell toor topsecret trustno1 user useruser vanessa victoria victory welcome welcome1 whatever
    william winner winter wizard yankees yellow zaq12wsx zxcv1234 zxcvbnm zxcvbnm,
""".split()  # noqa: SIM905 (a hundred quoted lines say no more)
)


@cache
def common() -> frozenset[str]:
    """All of them."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return OURS | {line for line in lines if not line.startswith("# ")}
