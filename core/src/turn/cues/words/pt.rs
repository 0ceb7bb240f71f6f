//! Portuguese of Brazil and Portugal.

use super::{UNIVERSAL, Words};

pub(super) const WORDS: Words = Words {
    fillers: "eh, hum, hã, ã, ahn, ãh, tipo!que/esse/este/de/do/outro/qual/o/um/meu, ^então, ^bom, ^bem, ^olha",
    open: "e, ou, mas, porque, que!o, se, embora, o, a, os, as, uns, umas, de, do, da, dos, das, no, na, nos, nas, \
        em, com, por, para, pra, pro, pelo, pela, pelos, pelas, ao, à, aos, às, num, numa, entre, desde, me, cada, \
        nem, minha!é/a/da/na, porém, enquanto, sobre",
    soft: "um, uma, eu, quando, sem, o meu, a minha, meu!é/o/do/no/deus, por exemplo, também, está, tá, \
        é!qual/como/quem/onde/isso, até, então",
    phrases: "eu queria!que/como/o que/se, queria saber, gostaria de, eu gostaria, eu quero!que/como/o que/se, \
        eu preciso!que, preciso de, meu nome é, meu número é!qual o, o número é!qual, meu telefone é, meu email é, \
        meu e mail é, meu endereço é, eu me chamo, chamo me, deixa eu ver, deixe me ver, deixa me ver, deixa ver, \
        deixa eu pensar, deixe me pensar, ^espera, ^espere, espera aí, peraí, pera aí, espera um pouco, \
        ^um momento, ^um minuto, ^um segundo, ^um instante, só um momento, só um minuto, só um minutinho, \
        só um segundo, só um instante, quer dizer, o problema é, a questão é, como se diz, ou seja, é que, \
        vamos ver, queria saber se",
    closing: "obrigado, obrigada, é isso, só isso, era isso, é tudo, mais nada, nada mais, tchau, até logo, \
        até mais, até amanhã, adeus, valeu, tenha um bom dia, terminei, acabei",
    finals: "por favor, se faz favor, ou não, né",
    answers: "sim, não, isso, isso aí, claro, claro que sim, claro que não, com certeza, certo, correto, exato, \
        exatamente, ok, okay, tá, tá bom, tá bem, está bem, está bom, tudo bem, pode, pode ser, quero, é, tenho, \
        isso mesmo, perfeito, por favor, obrigado, obrigada, muito obrigado, muito obrigada, de jeito nenhum, \
        ainda não, acho que sim, acho que não, talvez, beleza, aham, uhum, senhor, senhora, positivo, negativo, \
        não sei, já, nunca, confirmo, de acordo, ótimo",
    digits: "zero, um, uma, dois, duas, três, tres, quatro, cinco, seis, meia, sete, oito, nove",
    twice: "duplo",
    tens: "dez, onze, doze, treze, catorze, quatorze, quinze, dezesseis, dezasseis, dezessete, dezassete, dezoito, \
        dezenove, dezanove, vinte, trinta, quarenta, cinquenta, sessenta, setenta, oitenta, noventa, cem, cento, \
        ~centos, quinhentos, duzentos, trezentos, mil",
    number_fill: "e, traço, hífen, espaço, mais",
    joints: "vírgula!uma, ponto!um, traço!um, hífen!um, barra!uma",
    links: "de, como",
    at: "arroba",
    dot: "ponto",
    ..UNIVERSAL
};
