//! French.

use super::{UNIVERSAL, Words};

pub(super) const WORDS: Words = Words {
    fillers: "heu, hum, ^ben, ^bah, ^bon, ^alors, ^enfin, ^donc",
    // After a hyphen pronouns do end sentences ("donnez-les"); those do not match.
    open: "et, ou, mais, puisque, car, qu, lorsque, comme si, même si, et si, savoir si, le, la, les, des, du, de, \
        d, au, aux, à, dans, chez, par, vers, sur, entre, mon, ma, mes, ta, tes, sa, ses, notre, votre, ce, cet, \
        cette, ces, je, tu, j'ai, c'est, c'était, dont, très, ne, se, me, te, qu'il, qu'elle, qu'on, qu'ils, s'il, \
        jusqu'à, ni, chaque, quelques, n'ai, n'est, il est, elle est, ils ont, on a, nous avons, vous avez, \
        nous sommes, depuis, que",
    soft: "un, une!la, avec, pour, sans, après, avant, pendant, quand, donc, qui, est!où/qui, par exemple, plus, \
        en, si!mais",
    phrases: "je voudrais!que/comme/oui, j'aimerais!que/comme/oui, je souhaite!que/comme, \
        je souhaiterais!que/comme, j'aurais voulu, je veux!que/comme/si/oui, je cherche!que/qu, \
        mon numéro est!quel, mon numéro c'est, mon numéro de téléphone est, mon nom est, mon adresse est, \
        mon mail est, mon email est, je m'appelle, ^attendez, ^attends, ^un instant, ^un moment, ^une seconde, \
        ^une minute, ^deux secondes, ^deux minutes, laissez moi réfléchir, laisse moi réfléchir, laissez moi voir, \
        laissez moi regarder, je réfléchis, ^voyons, voyons voir, comment dire, c'est à dire, le problème est, \
        le problème c'est, le truc c'est, il y a!qu'est ce qu', je voulais savoir si, attendez une minute, \
        attendez une seconde, attendez un instant",
    closing: "merci, merci beaucoup, merci bien, merci à vous, c'est tout, ce sera tout, ça sera tout, au revoir, \
        bonne journée, bonne soirée, à bientôt, voilà, j'ai fini, j'ai terminé, rien d'autre, à plus tard, \
        à demain, c'est tout pour moi",
    finals: "s'il vous plaît, s'il vous plait, s'il te plaît, s'il te plait, quoi!de/à/c'est/pour/sur/avec, ou pas, \
        ou non, hein",
    answers: "oui, ouais, mouais, non, si, d'accord, ok, okay, bien sûr, tout à fait, exactement, exact, \
        absolument, évidemment, c'est ça, c'est bon, c'est exact, c'est correct, c'est juste, voilà, parfait, \
        merci, merci beaucoup, s'il vous plaît, s'il vous plait, s'il te plaît, s'il te plait, pas du tout, \
        je veux bien, volontiers, entendu, monsieur, madame, peut être, pas encore, jamais, ça marche, ça va, \
        je crois, je pense, je crois que oui, je pense que oui, je crois que non, bien entendu, effectivement, \
        avec plaisir, certainement, très bien, ^ben, ^bah",
    digits: "zéro, zero, un, une, deux, trois, quatre, cinq, six, sept, huit, neuf",
    twice: "double",
    thrice: "triple",
    tens: "dix, onze, douze, treize, quatorze, quinze, seize, vingt, vingts, trente, quarante, cinquante, soixante, \
        septante, huitante, octante, nonante, cent, cents, mille",
    number_fill: "et, tiret, espace, plus",
    joints: "virgule!une, point!un, tiret!un, slash!un, barre!une",
    links: "comme",
    at: "arobase, arrobase, arobas, at",
    dot: "point",
    ..UNIVERSAL
};
