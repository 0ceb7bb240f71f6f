//! German.

use super::{UNIVERSAL, Words};

pub(super) const WORDS: Words = Words {
    fillers: "eh, ähhm, ^tja, ^also, ^naja, ^na ja, ^nun",
    // Not here: verbs, which end subordinate clauses, and prepositions that are also prefixes ("ich rufe an").
    open: "und, aber, weil, dass, wenn, ob, sondern, obwohl, sowie, als, falls, sobald, bevor, nachdem, während, \
        sodass, des, mein, dein, unser, zum, zur, im, am, vom, beim, ins, ans, von, für, in, seit, zwischen, je, \
        sowohl, entweder, weder, solange, bezüglich, und dann, unter der, bei der, mit der, mit dem, in der, \
        in den, auf der, auf dem, an der, an dem, für die, für den, für das, über die, über den, nach dem, von der, \
        von dem, an die, auf die, in die, einen neuen, eine neue, ein neues",
    soft: "oder, wegen, damit, der, die, den, dem, eine, einen, einem, einer, meine, meinen, meinem, meiner, \
        unsere, kein, keine, keinen, über, unter, gegen, ohne, bei, bis, ich, wir, wie, zum beispiel, denn, ein",
    phrases: "ich möchte!was/wie/wenn/das/weil, ich hätte gern, ich hätte gerne, ich würde gern, ich würde gerne, \
        ich wollte fragen, ich brauche!was/das/die/den/dass, ich suche!was/das/die/den, mein name ist, \
        meine nummer ist, meine telefonnummer ist, meine handynummer ist, meine adresse ist, meine e mail ist, \
        meine email ist, meine e mail adresse ist, meine mailadresse ist, die nummer ist!was, die nummer lautet, \
        ich heiße!wie, ^moment, einen moment, einen moment bitte, moment mal, ^warten sie, ^warte, warte mal, \
        ^sekunde, eine sekunde, einen augenblick, ^augenblick, mal sehen, mal schauen, lass mich überlegen, \
        lassen sie mich überlegen, ich überlege, wie sagt man, wie heißt das, es geht um!worum, es handelt sich um, \
        das problem ist, die sache ist, das heißt!was, und zwar, beziehungsweise, ich möchte gern, ich möchte gerne",
    closing: "danke, danke schön, dankeschön, danke sehr, vielen dank, besten dank, herzlichen dank, das war's, \
        das wars, das war alles, das ist alles, das wäre alles, mehr nicht, tschüss, tschüs, ciao, auf wiederhören, \
        auf wiedersehen, schönen tag noch, bis dann, bis später, ich bin fertig, ^fertig",
    finals: "bitte!wie, oder nicht, oder so, und so weiter",
    answers: "ja, jo, jap, jep, jawohl, genau, nein, nee, nö, okay, ok, klar, natürlich, sicher, gerne, gern, \
        bitte, danke, danke schön, vielen dank, stimmt, richtig, das stimmt, das ist richtig, doch, in ordnung, \
        passt, das passt, alles klar, auf keinen fall, auf jeden fall, eigentlich nicht, leider nicht, leider, \
        noch nicht, gar nicht, überhaupt nicht, korrekt, einverstanden, vielleicht, ich glaube schon, \
        ich denke schon, ich glaube nicht, selbstverständlich, gut, sehr gut, mhm, m hm, sehr gerne, perfekt, \
        bestimmt",
    digits: "null, ein, eins, zwei, zwo, drei, vier, fünf, sechs, sieben, acht, neun",
    twice: "doppel",
    tens: "zehn, elf, zwölf, ~zehn, ~zig, ~ßig, ~ssig, ~hundert, ~tausend",
    number_fill: "und, strich, bindestrich, minus, plus, dann",
    joints: "komma!ein, punkt!ein, strich!ein, bindestrich!ein, schrägstrich!ein",
    links: "wie",
    at: "at, ät, klammeraffe",
    dot: "punkt, dot",
    ..UNIVERSAL
};
