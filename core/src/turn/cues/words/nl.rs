//! Dutch.

use super::{UNIVERSAL, Words};

pub(super) const WORDS: Words = Words {
    fillers: "eh, eeh, um, ^nou, ^ja maar, ^tja, zeg maar",
    // Not here: prepositions that are also separable parts of verbs, and "maar", which softens commands.
    open: "en, of, want, omdat, als, terwijl, hoewel, zodat, indien, tenzij, voordat, nadat, de, een, mijn, onze, \
        te, elke, sinds, tijdens, volgens, van het, in het, op het, aan het, bij het, naar het, en dan, en toen, \
        zowel, ofwel, noch, wegens, vanwege, sommige",
    soft: "maar, van, voor, met, bij, naar, door, tussen, zonder, tot, ik, heel, dus, \
        het!weet/ik/is/was/doe/wil/heb/snap/hoe, bijvoorbeeld, jouw, uw, geen, wanneer, \
        is!hoe/wat/dat/wie/waar/zo/het, dat de",
    phrases: "ik wil graag, ik wilde graag, ik zou graag, ik zou graag willen, ik had graag, ik zoek!wat/die/dat, \
        mijn naam is, mijn nummer is!wat, mijn telefoonnummer is!wat, mijn adres is!wat, mijn e mail is, \
        mijn email is, mijn e mailadres is, mijn mailadres is, ik heet!hoe, het nummer is!wat, \
        even kijken!laat hem/laat me eens, even denken, wacht even, ^wacht, ^een moment, een momentje, ^momentje, \
        ^moment, ^ogenblik, een ogenblik, ogenblikje, hoe heet het, hoe zeg je dat, laat me denken, het gaat om, \
        het probleem is, dat wil zeggen, ik bel omdat, ik bel voor, ik vroeg me af, ik vroeg me af of",
    closing: "dank je, dank je wel, dank u, dank u wel, dankjewel, dankuwel, bedankt, hartelijk dank, dat was het, \
        dat was alles, dat is alles, meer niet, verder niets, verder niks, doei, tot ziens, tot straks, tot later, \
        fijne dag, fijne dag nog, prettige dag, ik ben klaar, fijne avond",
    finals: "alstublieft, alsjeblieft, of niet, of zo, hoor",
    answers: "ja, jawel, jazeker, jep, nee, neen, zeker, klopt, dat klopt, inderdaad, juist, precies, oké, oke, ok, \
        okay, goed, prima, graag, natuurlijk, tuurlijk, uiteraard, absoluut, niet echt, nog niet, helemaal niet, \
        alstublieft, alsjeblieft, dank je, dank je wel, dank u, dank u wel, bedankt, is goed, dat is goed, \
        dat is prima, meneer, mevrouw, misschien, ik denk het, ik denk het wel, ik denk van niet, doe maar, hoor, \
        nooit, zeker weten, correct, mhm, perfect",
    digits: "nul, een, één, eén, twee, drie, vier, vijf, zes, zeven, acht, negen",
    twice: "dubbel, dubbele",
    tens: "tien, elf, twaalf, ~tien, ~tig, ~honderd, ~duizend",
    number_fill: "en, streepje, plus, dan",
    joints: "komma!een, punt!een, streepje!een, slash!een, dubbel",
    links: "van, als",
    at: "apenstaartje, apestaartje, at",
    dot: "punt, dot",
    ..UNIVERSAL
};
