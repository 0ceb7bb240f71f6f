//! Spanish.

use super::{UNIVERSAL, Words};

pub(super) const WORDS: Words = Words {
    fillers: "eh, em, emm, este!el/del/al/en/oeste/noreste/sureste, o sea, ^pues, ^bueno, ^entonces",
    // Object pronouns stand before the verb, so as words of their own they end nothing.
    open: "y, e, o, u, pero, porque, que, aunque, sino, como si, y si, por si, el, la, los, las, un, unos, unas, \
        de, del, al, a, en, con, por, para, sin, entre, desde, hasta, según, hacia, mi, mis, tu, tus, su, sus, muy, \
        tan, se, le, les, he, ha, han, hemos, cada, lo, ni, cuyo, me, te, donde, cuando, algún, ningún",
    soft: "una!la, como, por ejemplo, también, sobre!el/un, es!así/eso/cuál/qué/quién/cómo/sí, \
        está!cómo/dónde/ya/así/bien",
    phrases: "quisiera!que/lo que/si/como, yo quiero!que/lo que/como, me gustaría!sí/si/también/que, mi número es, \
        mi nombre es, mi correo es, mi dirección es, mi teléfono es, mi número de teléfono es, el número es!cuál, \
        la dirección es!cuál, me llamo, a ver, déjame ver, déjeme ver, déjame pensar, déjeme pensar, \
        deja que piense, ^espera, ^espere, espérame, espéreme, espera un momento, espere un momento, ^un momento, \
        ^un segundo, un momentito, un segundito, el problema es, la cosa es, cómo se dice, quería saber si, \
        necesito saber si, es decir",
    closing: "gracias, eso sería todo, eso era todo, es todo, nada más, adiós, hasta luego, hasta pronto, \
        hasta mañana, chao, chau, ya está, ya terminé, he terminado, buen día, nos vemos",
    finals: "por favor, o no, y ya",
    answers: "sí, si, no, claro, claro que sí, claro que no, por supuesto, vale, ok, okay, okey, bueno, de acuerdo, \
        correcto, exacto, exactamente, así es, eso es, está bien, perfecto, por favor, gracias, muchas gracias, \
        señor, señora, señorita, tampoco, también, ajá, desde luego, cómo no, ya, creo que sí, creo que no, \
        para nada, en absoluto, todavía no, aún no, quizás, quizá, tal vez, seguro, efectivamente, afirmativo, \
        negativo, obvio, genial, dale",
    digits: "cero, un, uno, una, dos, tres, cuatro, cinco, seis, siete, ocho, nueve",
    twice: "doble",
    thrice: "triple",
    tens: "diez, once, doce, trece, catorce, quince, dieci*, veint*, treinta*, cuarenta*, cincuenta*, sesenta*, \
        setenta*, ochenta*, noventa*, cien, ciento, ~cientos, quinientos, mil",
    number_fill: "y, guion, guión, espacio, más",
    joints: "punto!un, coma!una, guion!un, guión!un, barra!una, doble, triple, extensión",
    links: "de, como",
    at: "arroba",
    dot: "punto",
    ..UNIVERSAL
};
